//! A decision: named rules over rows, their actions, and a log of every row that was looked at.

use crate::columns;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{EventTime, Result, Scalar, Span};
use std::sync::Arc;

/// A decision.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// The column that says whom an action is about, and by which the input is keyed.
    pub subject: usize,
    /// Its rules in order.
    pub rules: Vec<Rule>,
    /// The input columns that the log keeps.
    pub log_columns: Vec<usize>,
    /// The models that scored the row, with their versions.
    pub model_versions: Vec<(String, String)>,
    /// The revision of the project.
    pub revision: String,
    /// Actions after this leave the job (W).
    pub published_after: EventTime,
}

/// A rule of a decision.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// A boolean; NULL is no match, and counted.
    pub condition: Arc<dyn Scalar>,
    /// The action that it takes.
    pub action: String,
    /// It is recorded only, and never acts.
    pub shadow: bool,
    /// It acts on a subject again only when so long has passed since it last did.
    pub once_per: Option<Span>,
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// The columns of actions: decision_id, decision, rule, action, subject, time.
pub fn actions_schema(input: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    let subject = columns::field(input, spec.subject, "the SUBJECT")?;
    Ok(Arc::new(Schema::new(vec![
        Field::new("decision_id", DataType::Utf8, false),
        Field::new("decision", DataType::Utf8, false),
        Field::new("rule", DataType::Utf8, false),
        Field::new("action", DataType::Utf8, false),
        Field::new("subject", subject.data_type().clone(), true),
        Field::new("time", timestamp(), false),
    ])))
}

/// The columns of the log: decision_id, time, subject, matched, acted, suppressed, nulls, action, published,
/// model_version, revision, then the kept input columns, of which those with one of these names get `row_` in front.
pub fn log_schema(input: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    let subject = columns::field(input, spec.subject, "the SUBJECT")?;
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let mut fields = vec![
        text("decision_id", false),
        Field::new("time", timestamp(), false),
        Field::new("subject", subject.data_type().clone(), true),
        text("matched", false),
        text("acted", true),
        text("suppressed", true),
        text("nulls", false),
        text("action", true),
        Field::new("published", DataType::Boolean, false),
        text("model_version", true),
        text("revision", false),
    ];
    for &column in &spec.log_columns {
        let kept = columns::field(input, column, "a log column")?;
        let mut name = kept.name().clone();
        while fields.iter().any(|field| *field.name() == name) {
            name.insert_str(0, "row_");
        }
        fields.push(Field::new(name, kept.data_type().clone(), true));
    }
    Ok(Arc::new(Schema::new(fields)))
}
