//! Where the files of a table lie, as its properties say.

use crate::rows::{append, create, numbers, sorted_numbers};
use connector_iceberg::{CompactOptions, OrphanOptions, TableHolds, TableOptions, Warehouse};
use dataflow::{Clock, ProcessingTime};
use std::path::Path;

struct Stands;

impl Clock for Stands {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(0)
    }
}

fn table_with(property: &str, value: &str) -> (tempfile::TempDir, Warehouse) {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let value = value.replace("HERE", warehouse.dir().to_str().unwrap());
    let options = TableOptions { properties: vec![(property.to_owned(), value)], ..TableOptions::default() };
    create(&warehouse, "lake.t", &numbers([]).schema(), &options).unwrap();
    (folder, warehouse)
}

fn compact(warehouse: &Warehouse) -> usize {
    warehouse.compact("lake.t", CompactOptions::default(), &Stands, &mut |_| true).unwrap().files_before
}

#[test]
fn metadata_at_its_own_place_is_no_other_place() {
    for value in ["file://HERE/lake/t/metadata", "HERE/lake/t/metadata/", "file:/HERE//lake/t/metadata"] {
        let (_folder, warehouse) = table_with("write.metadata.path", value);
        (0..3).for_each(|n| append(&warehouse, "lake.t", &[numbers([n])]).unwrap());
        assert_eq!(compact(&warehouse), 3, "{value}");
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2]);
    }
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let elsewhere = [("write.metadata.path".to_owned(), "file:///elsewhere".to_owned())];
    let options = TableOptions { properties: elsewhere.to_vec(), ..TableOptions::default() };
    create(&warehouse, "lake.t", &numbers([]).schema(), &options).unwrap();
    let refused = append(&warehouse, "lake.t", &[numbers([1])]).unwrap_err().chain();
    assert!(refused.contains("has write.metadata.path = file:///elsewhere"), "{refused}");
}

#[test]
fn data_lies_where_the_table_says() {
    let (folder, warehouse) = table_with("write.data.path", "file://HERE-beside/of/t/");
    let beside = format!("{}-beside", warehouse.dir().display());
    (0..3).for_each(|n| append(&warehouse, "lake.t", &[numbers([n])]).unwrap());
    let count = || std::fs::read_dir(Path::new(&beside).join("of/t")).unwrap().count();
    assert_eq!(count(), 3);
    assert_eq!(compact(&warehouse), 3);
    assert_eq!((count(), folder.path().join("lake/t/data").exists()), (4, false));
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2]);
    std::fs::remove_dir_all(&beside).unwrap();
    let properties = vec![("write.data.path".to_owned(), "s3://bucket/rows".to_owned())];
    let options = TableOptions { properties, ..TableOptions::default() };
    let refused = create(&warehouse, "lake.in_store", &numbers([]).schema(), &options).unwrap_err().chain();
    assert!(refused.contains("has write.data.path = s3://bucket/rows, and lies at"), "{refused}");
    assert!(!warehouse.exists("lake.in_store").unwrap(), "no table is made that nobody can write");
}

/// Live files were deleted with the folder of the table whose place theirs had taken.
#[test]
fn data_does_not_lie_in_the_folder_of_another_table_of_the_warehouse() {
    let (_folder, warehouse) = table_with("write.data.path", "file://HERE/lake/t/data");
    append(&warehouse, "lake.t", &[numbers([1])]).unwrap();
    let claim = warehouse.claim("lake.t", "test").unwrap();
    let of = |path: &str| {
        let path = path.replace("HERE", warehouse.dir().to_str().unwrap());
        let properties = vec![("write.data.path".to_owned(), path)];
        TableOptions { properties, ..TableOptions::default() }
    };
    for path in ["file://HERE/lake/t/data", "HERE/lake/t/data", "file://HERE/rows", "HERE/../x/data"] {
        let refused = claim.replace(&numbers([]).schema(), &of(path)).unwrap_err().to_string();
        assert!(refused.contains("in the warehouse and not below the table's own folder"), "{path}: {refused}");
    }
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [1]);
}

/// As another engine does it, which writes no rows of its own then.
#[test]
fn nobody_takes_the_data_of_another_table_for_orphans() {
    let (folder, warehouse) = table_with("write.metadata.metrics.default", "full");
    create(&warehouse, "lake.u", &numbers([]).schema(), &TableOptions::default()).unwrap();
    (0..3).for_each(|n| append(&warehouse, "lake.t", &[numbers([n])]).unwrap());
    let file = warehouse.metadata_file("lake.t").unwrap();
    let mut metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let own = folder.path().canonicalize().unwrap().join("lake/u/data/of-t");
    metadata["properties"]["write.data.path"] = own.to_str().unwrap().into();
    std::fs::write(&file, metadata.to_string()).unwrap();
    let refused = warehouse.compact("lake.t", CompactOptions::default(), &Stands, &mut |_| true).unwrap_err();
    assert!(refused.to_string().contains("in the warehouse and not below the table's own folder"), "{refused}");
    let options = OrphanOptions { older_than: std::time::Duration::ZERO };
    let refused = warehouse.plan_orphans("lake.u", options, &TableHolds::default(), i64::MAX).unwrap_err().to_string();
    assert!(refused.contains("what table \"lake.t\" has of data at"), "{refused}");
}

#[test]
fn a_size_without_bound_is_no_bound() {
    let (_folder, warehouse) = table_with("write.target-file-size-bytes", "18446744073709551615");
    (0..3).for_each(|n| append(&warehouse, "lake.t", &[numbers([n])]).unwrap());
    assert_eq!(warehouse.plan_compaction("lake.t", CompactOptions::default()).unwrap().files_after, 1);
    assert_eq!(compact(&warehouse), 3);
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2]);
}
