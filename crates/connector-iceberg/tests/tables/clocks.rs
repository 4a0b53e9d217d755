//! Machines whose clocks differ change one table.

use crate::rows::{append, create, numbers, sorted_numbers};
use connector_iceberg::{TableOptions, Warehouse};
use serde_json::Value;
use std::fs;

const HOUR_MS: i64 = 3_600_000;

#[test]
fn a_table_that_was_changed_by_a_clock_which_is_ahead_can_be_loaded_after_the_next_change() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    append(&warehouse, "lake.t", &[numbers([1])]).unwrap();
    // As if only properties were changed two hours later.
    let change = |hours: i64| {
        let file = warehouse.metadata_file("lake.t").unwrap();
        let mut metadata: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        metadata["last-updated-ms"] = (metadata["last-updated-ms"].as_i64().unwrap() + hours * HOUR_MS).into();
        fs::write(&file, metadata.to_string()).unwrap();
    };
    change(2);
    drop(warehouse.claim("lake.t", "test").unwrap());
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [1]);
    // As another engine writes it, or a riverrun before.
    change(-1);
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [1]);
    let refused = warehouse.claim("lake.t", "test").err().expect("the clocks differ").chain();
    assert!(refused.contains("the clock of this machine is over a minute before"), "{refused}");
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [1]);
}
