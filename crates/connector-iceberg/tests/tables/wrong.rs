//! What is wrong is named: the table, the file, what was found and what was expected.

use crate::rows::{append, create, numbers, sorted_numbers};
use connector_iceberg::{TableOptions, Warehouse};
use dataflow::{Committable, ErrorKind, Result, Sink};
use std::fs;
use std::path::{Path, PathBuf};

fn warehouse(folder: &Path) -> Warehouse {
    let warehouse = Warehouse::open(folder).unwrap();
    create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    append(&warehouse, "lake.t", &[numbers(0..1000)]).unwrap();
    warehouse
}

fn data_file(warehouse: &Warehouse) -> PathBuf {
    PathBuf::from(&warehouse.read("lake.t").unwrap().files()[0].path)
}

fn read(warehouse: &Warehouse) -> Result<usize> {
    let files = warehouse.read("lake.t")?;
    let mut rows = 0;
    for batch in files.open(0, 0..1, &["n".to_owned()], 100)? {
        rows += batch?.num_rows();
    }
    Ok(rows)
}

fn check(result: Result<impl Sized>, kind: ErrorKind, parts: &[&str]) {
    let Err(error) = result else { panic!("expected an error with {parts:?}") };
    let chain = error.chain();
    assert_eq!(error.kind(), kind, "{chain}");
    for part in parts {
        assert!(chain.contains(part), "expected {part:?} in: {chain}");
    }
}

#[test]
fn a_data_file_that_is_gone_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let path = data_file(&warehouse);
    fs::remove_file(&path).unwrap();
    check(read(&warehouse), ErrorKind::Corrupt, &["\"lake.t\"", path.to_str().unwrap(), "missing"]);
}

#[test]
fn a_data_file_that_was_cut_or_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let path = data_file(&warehouse);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let bytes = format!("expected {}", whole.len());
    check(read(&warehouse), ErrorKind::Corrupt, &["\"lake.t\"", path.to_str().unwrap(), &bytes]);
    let mut changed = whole.clone();
    changed.iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(&path, &changed).unwrap();
    check(read(&warehouse), ErrorKind::Corrupt, &["\"lake.t\"", path.to_str().unwrap(), "not Parquet"]);
    // Damage in the middle leaves the footer alone.
    let mut changed = whole.clone();
    changed[4..200].fill(0xff);
    fs::write(&path, &changed).unwrap();
    check(read(&warehouse), ErrorKind::Corrupt, &["\"lake.t\"", path.to_str().unwrap(), "restore the file"]);
    fs::write(&path, &whole).unwrap();
    assert_eq!(read(&warehouse).unwrap(), 1000);
}

#[test]
fn metadata_that_is_gone_or_damaged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let path = warehouse.metadata_file("lake.t").unwrap();
    let whole = fs::read(&path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    check(warehouse.read("lake.t"), ErrorKind::Corrupt, &["\"lake.t\"", name]);
    check(append(&warehouse, "lake.t", &[numbers(0..1)]), ErrorKind::Corrupt, &["\"lake.t\"", name]);
    fs::remove_file(&path).unwrap();
    check(warehouse.read("lake.t"), ErrorKind::Corrupt, &["\"lake.t\"", name, "missing"]);
    fs::write(&path, &whole).unwrap();
    let manifests = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    for manifest in manifests.filter(|path| path.extension().is_some_and(|extension| extension == "avro")) {
        let whole = fs::read(&manifest).unwrap();
        fs::write(&manifest, &whole[..whole.len() / 2]).unwrap();
        check(warehouse.read("lake.t"), ErrorKind::Corrupt, &["\"lake.t\"", manifest.to_str().unwrap()]);
        fs::write(&manifest, &whole).unwrap();
    }
    assert_eq!(read(&warehouse).unwrap(), 1000);
}

#[test]
fn a_catalog_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("catalog.db");
    fs::write(&catalog, "x".repeat(5000)).unwrap();
    check(Warehouse::open(folder.path()), ErrorKind::Corrupt, &[catalog.to_str().unwrap()]);
}

#[test]
fn a_file_is_no_warehouse() {
    let file = tempfile::NamedTempFile::new().unwrap();
    check(Warehouse::open(file.path()), ErrorKind::Invalid, &[file.path().to_str().unwrap(), "cannot be opened"]);
}

#[test]
fn a_committable_that_is_not_ours_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let claim = warehouse.claim("lake.t", "test").unwrap();
    let mut committer = claim.committer();
    check(committer.commit(vec![Committable(b"?".to_vec())]), ErrorKind::Corrupt, &["\"lake.t\"", "cannot be read"]);
    let mut writer = claim.writer(0).unwrap();
    writer.write(&crate::rows::batch(&numbers([1]))).unwrap();
    let text = String::from_utf8(writer.prepare(1).unwrap().unwrap().0).unwrap();
    let newer = Committable(text.replace("\"version\":2", "\"version\":3").into_bytes());
    check(committer.commit(vec![newer]), ErrorKind::Corrupt, &["version 3, expected 1 or 2"]);
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..1000).collect::<Vec<_>>());
}

#[test]
fn tables_and_columns_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let rows = numbers([1]);
    check(warehouse.read("lake.u"), ErrorKind::Invalid, &["no table \"lake.u\""]);
    check(warehouse.claim("lake.u", "test").unwrap().writer(0), ErrorKind::Invalid, &["no table \"lake.u\""]);
    assert!(!create(&warehouse, "lake.t", &rows.schema(), &TableOptions::default()).unwrap(), "it is there already");
    check(create(&warehouse, "../t", &rows.schema(), &TableOptions::default()), ErrorKind::Invalid, &["is not a name"]);
    let other = crate::rows::all_types(&[Some(1)]);
    check(append(&warehouse, "lake.t", &[other]), ErrorKind::Invalid, &["\"lake.t\"", "no column \"long\""]);
    let text = arrow::array::StringArray::from(vec!["1"]);
    let text = arrow::array::RecordBatch::try_from_iter([("n", std::sync::Arc::new(text) as _)]).unwrap();
    check(append(&warehouse, "lake.t", &[text]), ErrorKind::Invalid, &["\"n\" gets TEXT, expected BIGINT"]);
}
