//! Another engine cuts a table in another way while a job runs.

use crate::layouts::cut_by;
use crate::rows::{append, create, numbers, sorted_numbers};
use connector_iceberg::{CompactOptions, TableClaim, TableOptions, Warehouse};
use dataflow::{Clock, Committable, PartitionTransform, ProcessingTime, Sink};
use serde_json::{Value, json};
use std::fs;

struct Stands;

impl Clock for Stands {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(0)
    }
}

fn prepared(claim: &TableClaim, worker: usize, number: i64, checkpoint: u64) -> Committable {
    let mut writer = claim.writer(worker).unwrap();
    writer.write_rows(&numbers([number])).unwrap();
    writer.prepare(checkpoint).unwrap().unwrap()
}

/// Gives a table another partition spec.
fn cut_anew(warehouse: &Warehouse) {
    let file = warehouse.metadata_file("lake.t").unwrap();
    let mut metadata: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let field = json!({ "source-id": 1, "field-id": 1005, "name": "n_cut", "transform": "truncate[10]" });
    metadata["partition-specs"].as_array_mut().unwrap().push(json!({ "spec-id": 1, "fields": [field] }));
    metadata["default-spec-id"] = 1.into();
    metadata["last-partition-id"] = 1005.into();
    fs::write(&file, metadata.to_string()).unwrap();
}

#[test]
fn rows_that_were_written_before_are_committed_as_they_are() {
    for options in [TableOptions::default(), cut_by(&[(PartitionTransform::Bucket(2), "n")])] {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path()).unwrap();
        create(&warehouse, "lake.t", &numbers([]).schema(), &options).unwrap();
        append(&warehouse, "lake.t", &[numbers([0])]).unwrap();
        let claim = warehouse.claim("lake.t", "test").unwrap();
        let old = [prepared(&claim, 0, 1, 2), prepared(&claim, 1, 2, 3), prepared(&claim, 1, 3, 4)];
        cut_anew(&warehouse);
        let new = [prepared(&claim, 2, 14, 3), prepared(&claim, 2, 15, 4)];
        claim.committer().commit(vec![old[0].clone()]).unwrap();
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1]);
        let all = vec![old[0].clone(), old[1].clone(), new[0].clone(), old[2].clone(), new[1].clone()];
        claim.committer().commit(all.clone()).unwrap();
        claim.committer().commit(all.clone()).unwrap();
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2, 3, 14, 15]);
        drop(claim);
        // The next run has them pending, and writes as the table is cut now.
        let claim = warehouse.claim("lake.t", "test").unwrap();
        claim.committer().commit(all).unwrap();
        claim.committer().commit(vec![prepared(&claim, 0, 16, 5)]).unwrap();
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2, 3, 14, 15, 16]);
        let metadata: Value =
            serde_json::from_slice(&fs::read(warehouse.metadata_file("lake.t").unwrap()).unwrap()).unwrap();
        assert_eq!((&metadata["default-spec-id"], &metadata["last-partition-id"]), (&json!(1), &json!(1005)));
        warehouse.compact("lake.t", CompactOptions::default(), &Stands, &mut |_| true).unwrap();
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2, 3, 14, 15, 16]);
    }
}
