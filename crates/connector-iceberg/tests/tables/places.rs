//! Where the files of a table lie, as its properties say.

use crate::rows::{append, create, numbers, sorted_numbers};
use connector_iceberg::{CompactOptions, TableOptions, Warehouse};
use dataflow::{Clock, ProcessingTime};

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
    let (folder, warehouse) = table_with("write.data.path", "file://HERE/rows/of/t/");
    (0..3).for_each(|n| append(&warehouse, "lake.t", &[numbers([n])]).unwrap());
    let count = || std::fs::read_dir(folder.path().join("rows/of/t")).unwrap().count();
    assert_eq!(count(), 3);
    assert_eq!(compact(&warehouse), 3);
    assert_eq!((count(), folder.path().join("lake/t/data").exists()), (4, false));
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2]);
    let (_folder, warehouse) = table_with("write.data.path", "s3://bucket/rows");
    let refused = append(&warehouse, "lake.t", &[numbers([1])]).unwrap_err().chain();
    assert!(refused.contains("has write.data.path = s3://bucket/rows, and lies at"), "{refused}");
}
