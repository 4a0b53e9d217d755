//! Files of tables that are not riverrun's to delete.

use crate::rows::{append, create, numbers};
use connector_iceberg::{TableClaim, TableOptions, Warehouse};

const SINK: &str = "job.counts";

/// Begins the table anew, and lets the new one take the place of the old one.
fn begin_anew(warehouse: &Warehouse) {
    let claim = warehouse.claim("lake.t", SINK).unwrap();
    claim.replace(&numbers([]).schema(), &TableOptions::default()).unwrap();
    TableClaim::take_places([&claim]).unwrap();
}

#[test]
fn what_a_killed_run_left_stays_in_a_table_that_lets_nothing_be_deleted() {
    for keeps in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path()).unwrap();
        let properties = vec![("gc.enabled".to_owned(), (!keeps).to_string())];
        let options = TableOptions { properties, ..TableOptions::default() };
        create(&warehouse, "lake.t", &numbers([]).schema(), &options).unwrap();
        let killed = warehouse.claim("lake.t", SINK).unwrap();
        let mut writer = killed.writer(0).unwrap();
        writer.write_rows(&numbers([1])).unwrap();
        writer.finish(None).unwrap();
        drop((writer, killed));
        let there = std::fs::read_dir(folder.path().join("lake/t/data")).unwrap().count();
        assert_eq!(there, 1);
        assert_eq!(warehouse.claim("lake.t", SINK).unwrap().collect_orphans(&[]).unwrap(), usize::from(!keeps));
    }
}

#[test]
fn a_table_that_stands_keeps_its_files_once_somebody_drops_it_whatever_was_noted_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    append(&warehouse, "lake.t", &[numbers([1])]).unwrap();
    begin_anew(&warehouse);
    let inner = std::fs::read_dir(folder.path().join("lake/t")).unwrap().map(|entry| entry.unwrap().path());
    let new = inner.into_iter().find(|path| path.join("placed").exists()).unwrap();
    // An earlier version noted no place, and a table that was to take its place never came.
    std::fs::remove_file(new.join("placed")).unwrap();
    let mark = std::fs::File::create(new.join("replaced")).unwrap();
    mark.set_modified(mark.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(7200)).unwrap();
    drop(warehouse.claim("lake.t", SINK).unwrap());
    let catalog = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    assert_eq!(catalog.execute("DELETE FROM iceberg_tables WHERE table_name = 't'", []).unwrap(), 1);
    drop(warehouse.claim("lake.t", SINK).unwrap());
    assert!(new.join("metadata").exists());
}

#[test]
fn a_table_that_lets_nothing_be_deleted_keeps_its_files_when_it_gives_way() {
    for keeps in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path()).unwrap();
        let properties = vec![("gc.enabled".to_owned(), (!keeps).to_string())];
        let options = TableOptions { properties, ..TableOptions::default() };
        create(&warehouse, "lake.t", &numbers([]).schema(), &options).unwrap();
        append(&warehouse, "lake.t", &[numbers([1])]).unwrap();
        begin_anew(&warehouse);
        let mark = std::fs::File::options().write(true).open(folder.path().join("lake/t/replaced")).unwrap();
        let written = mark.metadata().unwrap().modified().unwrap();
        mark.set_modified(written - std::time::Duration::from_secs(7200)).unwrap();
        drop(warehouse.claim("lake.t", SINK).unwrap());
        assert_eq!(folder.path().join("lake/t/data").exists(), keeps);
    }
}
