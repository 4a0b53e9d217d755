//! Projection as a loop, with expressions that fail on some rows.

use super::condition::Condition;
use super::{assert_bad, bad_rows, config, plans, policies, rows};
use crate::Project;
use crate::harness::{Row, Stream, assert_same, drive, sort};
use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;
use std::sync::Arc;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn projection_computes_every_column(rows in rows(60), plan in plans(), policy in policies()) {
        let columns = [Condition::Positive, Condition::Flag];
        let names = ["positive", "flag"].map(|name| Field::new(name, DataType::Boolean, true));
        let schema = Arc::new(Schema::new(names.to_vec()));
        let make = || {
            let columns = columns.iter().map(|column| Arc::new(*column) as _).collect();
            Box::new(Project::new(schema.clone(), columns, bad_rows(policy)).unwrap()) as _
        };
        let output = drive(&make, &[Stream::sorted(&rows, &[0])], &plan);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for row in &rows {
            match columns.iter().map(|column| column.of(row)).collect::<Result<Vec<_>, ()>>() {
                Ok(values) => good.push(Row { values, ..row.clone() }),
                Err(()) => bad.push((row.clone(), "column \"positive\": the number is 3".to_owned())),
            }
        }
        sort(&mut good);
        assert_same(&output.main(), &good);
        assert_bad(&output, policy, &bad);
    }
}
