//! Columns that another engine requires, drops or adds while a job runs: no file is committed whose rows do not fit them.

use crate::rows::{append, create, numbers, sorted_numbers};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use connector_iceberg::{TableClaim, TableOptions, Warehouse};
use dataflow::{Committable, Sink};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;

fn warehouse(folder: &std::path::Path) -> Warehouse {
    let warehouse = Warehouse::open(folder).unwrap();
    create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    append(&warehouse, "lake.t", &[numbers([1])]).unwrap();
    warehouse
}

fn prepared(claim: &TableClaim, rows: &[Option<i64>]) -> Committable {
    let column = Arc::new(Int64Array::from(rows.to_vec())) as ArrayRef;
    let mut writer = claim.writer(0).unwrap();
    writer.write_rows(&RecordBatch::try_from_iter_with_nullable([("n", column, true)]).unwrap()).unwrap();
    writer.prepare(2).unwrap().unwrap()
}

/// Changes the fields of a table as another engine does.
fn change(warehouse: &Warehouse, change: impl Fn(&mut Vec<Value>)) {
    let file = warehouse.metadata_file("lake.t").unwrap();
    let mut metadata: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let schemas = metadata["schemas"].as_array_mut().unwrap();
    change(schemas[0]["fields"].as_array_mut().unwrap());
    metadata["last-column-id"] = 3.into();
    fs::write(&file, metadata.to_string()).unwrap();
}

#[test]
fn rows_from_before_a_required_column_are_kept_and_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let claim = warehouse.claim("lake.t", "test").unwrap();
    let waiting = prepared(&claim, &[Some(2)]);
    change(&warehouse, |fields| {
        let inner = json!([{ "id": 3, "name": "x", "required": true, "type": "long" }]);
        fields.push(json!({ "id": 2, "name": "of", "required": false, "type": { "type": "struct", "fields": inner } }));
        fields[0]["required"] = true.into();
    });
    claim.committer().commit(vec![waiting]).expect("rows without a struct have nothing in it");
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [1, 2]);
    let waiting = prepared(&claim, &[Some(3)]);
    change(&warehouse, |fields| fields[1] = json!({ "id": 2, "name": "must", "required": true, "type": "long" }));
    let refused = claim.committer().commit(vec![waiting.clone()]).unwrap_err().to_string();
    assert!(refused.contains("requires column \"must\" by now") && refused.contains("NULL in it"), "{refused}");
    change(&warehouse, |fields| fields[1]["required"] = false.into());
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [1, 2], "nothing of the commit was written");
    claim.committer().commit(vec![waiting]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [1, 2, 3]);
}

#[test]
fn values_of_a_column_that_is_there_no_more_are_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let claim = warehouse.claim("lake.t", "test").unwrap();
    let (waiting, null) = (prepared(&claim, &[Some(2)]), prepared(&claim, &[None]));
    let fields = json!([{ "id": 2, "name": "n", "required": false, "type": "long" }]);
    let schema = json!({ "type": "struct", "schema-id": 1, "fields": fields });
    let set = |current: i64| {
        let file = warehouse.metadata_file("lake.t").unwrap();
        let mut metadata: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let schemas = metadata["schemas"].as_array_mut().unwrap();
        // They come in any sequence.
        schemas.retain(|schema| schema["schema-id"] == 0);
        schemas.push(schema.clone());
        metadata["current-schema-id"] = current.into();
        metadata["last-column-id"] = 2.into();
        fs::write(&file, metadata.to_string()).unwrap();
    };
    set(1);
    claim.committer().commit(vec![null]).expect("nothing of it is lost");
    let refused = claim.committer().commit(vec![waiting.clone()]).unwrap_err().to_string();
    assert!(refused.contains("has no more the column \"n\" that rows were written with"), "{refused}");
    set(0);
    claim.committer().commit(vec![waiting]).unwrap();
    assert_eq!(warehouse.rows("lake.t").unwrap(), 3);
}

#[test]
fn null_in_a_column_that_is_required_by_now_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let claim = warehouse.claim("lake.t", "test").unwrap();
    let (whole, with_null) = (prepared(&claim, &[Some(2)]), prepared(&claim, &[Some(3), None]));
    change(&warehouse, |fields| fields[0]["required"] = true.into());
    claim.committer().commit(vec![whole]).unwrap();
    let refused = claim.committer().commit(vec![with_null]).unwrap_err().to_string();
    assert!(refused.contains("requires column \"n\" by now") && refused.contains("have NULL in it"), "{refused}");
    let mut writer = claim.writer(1).unwrap();
    let null = Arc::new(Int64Array::from(vec![None])) as ArrayRef;
    let refused = writer.write_rows(&RecordBatch::try_from_iter_with_nullable([("n", null, true)]).unwrap());
    assert!(refused.unwrap_err().to_string().contains("a row has NULL in it"));
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [1, 2]);
    change(&warehouse, |fields| fields.push(json!({ "id": 2, "name": "late", "required": true, "type": "long" })));
    let refused = claim.check_output(&numbers([]).schema(), &Default::default()).unwrap_err().to_string();
    assert!(refused.contains("requires column \"late\""), "{refused}");
}
