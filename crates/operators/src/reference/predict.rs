//! Models as a loop, with inputs and models that fail on some rows.

use super::condition::Condition;
use super::{assert_bad, bad_rows, config, plans, policies, rows};
use crate::harness::{Row, Stream, Value, assert_same, drive, schema, sort};
use crate::predict::{Part, Predict, Score, Spec};
use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use dataflow::{Fate, Result, Scorer, ScorerInput, ScorerValue};
use proptest::prelude::*;
use std::sync::Arc;

/// A model of one condition: its negation, and it fails where it is NULL.
#[derive(Debug)]
struct Not([ScorerInput; 1]);

impl Scorer for Not {
    fn inputs(&self) -> &[ScorerInput] {
        &self.0
    }

    fn output(&self) -> DataType {
        DataType::Boolean
    }

    fn version(&self) -> &str {
        "not"
    }

    fn score(&self, inputs: &[ArrayRef]) -> Result<ArrayRef> {
        let values = inputs[0].as_boolean().iter().map(|value| value.map(|value| !value));
        Ok(Arc::new(values.collect::<BooleanArray>()))
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn models_score_every_row(rows in rows(60), plan in plans(), policy in policies()) {
        let conditions = [Condition::Positive, Condition::Flag];
        let make = || {
            let score = |condition: &Condition| Score {
                columns: [(Part::Score, "score"), (Part::Fault, "fault"), (Part::Version, "version")]
                    .map(|(part, name)| (part, name.to_owned()))
                    .to_vec(),
                model: "not".to_owned(),
                scorer: Arc::new(Not([ScorerInput::one(None, ScorerValue::Boolean)])),
                inputs: vec![("flag".to_owned(), Arc::new(*condition))],
            };
            let spec = Spec { scores: conditions.iter().map(score).collect() };
            Box::new(Predict::new(&schema(), spec, bad_rows(policy)).unwrap()) as _
        };
        let output = drive(&make, &[Stream::sorted(&rows, &[0])], &plan);
        let (mut good, mut bad, mut faults) = (Vec::new(), Vec::new(), 0);
        for row in &rows {
            let Ok(inputs) = conditions.iter().map(|condition| condition.of(row)).collect::<Result<Vec<_>, ()>>() else {
                bad.push((row.clone(), "model \"not\": the number is 3".to_owned()));
                continue;
            };
            faults += inputs.iter().filter(|input| **input == Value::Null).count();
            let fault = "model \"not\" gives no finite number; NULL: flag";
            let scores = inputs.into_iter().flat_map(|input| {
                let (score, fault) = match input {
                    Value::Boolean(value) => (Value::Boolean(!value), Value::Null),
                    other => (other, Value::Text(fault.to_owned())),
                };
                [score, fault, Value::Text("not".to_owned())]
            });
            let values: Vec<Value> = row.values.iter().cloned().chain(scores).collect();
            good.push(Row { values, ..row.clone() });
        }
        sort(&mut good);
        assert_same(&output.main(), &good);
        assert_bad(&output, policy, &bad);
        prop_assert_eq!(output.fates.of(Fate::ScoreFailed) as usize, faults);
    }
}
