//! Expressions and models as operators see them: a batch in, a column out.

use crate::{Batch, Error, Result};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::fmt::{self, Debug, Display, Formatter};

/// A column and the rows on which the expression failed.
#[derive(Debug)]
pub struct Evaluated {
    /// One value per row; NULL where it failed.
    pub values: ArrayRef,
    /// The rows that failed and why, ascending. A row is here if and only if the expression fails on it alone.
    pub failed: Vec<(usize, Error)>,
}

impl From<ArrayRef> for Evaluated {
    fn from(values: ArrayRef) -> Self {
        Evaluated { values, failed: Vec::new() }
    }
}

/// A pure function of a row: a compiled SQL expression, or a model bound to columns.
pub trait Scalar: Debug + Send + Sync {
    /// The type of the values.
    fn data_type(&self) -> DataType;
    /// One value per row of the batch. An error is one of the whole (our bug, say), not of a row.
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated>;
}

/// What a model takes for one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScorerValue {
    /// Whatever is given: the model does not look at it.
    Any,
    /// A number or a boolean; NULL is a missing value.
    Number,
    /// An integer or a boolean.
    Integer,
    /// A boolean.
    Boolean,
    /// A text.
    Text,
}

/// One input of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScorerInput {
    /// The name, when the model's file tells it.
    pub name: Option<String>,
    /// What it takes for a value, or for each value of a list.
    pub value: ScorerValue,
    /// How many values each list has, where the input is a column of lists.
    pub list: Option<usize>,
}

impl ScorerInput {
    /// An input of one value a row.
    pub fn one(name: Option<String>, value: ScorerValue) -> ScorerInput {
        ScorerInput { name, value, list: None }
    }

    /// Whether a column of a type can be the input. Lists of lists count as lists with all values one after the other,
    /// and lists of numbers may be written as text.
    ///
    /// ```
    /// use arrow::datatypes::DataType;
    /// use dataflow::{ScorerInput, ScorerValue};
    ///
    /// let numbers = ScorerInput { name: None, value: ScorerValue::Number, list: Some(3) };
    /// assert!(numbers.takes(&DataType::new_list(DataType::Float32, true)));
    /// assert!(numbers.takes(&DataType::Utf8) && !numbers.takes(&DataType::Float32));
    /// ```
    pub fn takes(&self, data_type: &DataType) -> bool {
        match (self.value, self.list, item(data_type)) {
            (ScorerValue::Any, ..) => true,
            (_, None, _) => self.takes_value(data_type),
            (_, Some(_), Some(item)) => self.takes_item(item),
            (value, Some(_), None) => value != ScorerValue::Text && is_text(data_type),
        }
    }

    fn takes_item(&self, data_type: &DataType) -> bool {
        item(data_type).map_or_else(|| self.takes_value(data_type), |item| self.takes_item(item))
    }

    fn takes_value(&self, data_type: &DataType) -> bool {
        match (self.value, data_type) {
            (ScorerValue::Any, _) | (_, DataType::Null) => true,
            (ScorerValue::Text, of) => is_text(of),
            (_, DataType::Boolean) => true,
            (ScorerValue::Number, of) => of.is_numeric(),
            (ScorerValue::Integer, of) => of.is_integer(),
            (ScorerValue::Boolean, _) => false,
        }
    }
}

/// `number`, `list of 20 numbers`.
impl Display for ScorerInput {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let value = match self.value {
            ScorerValue::Any => "value",
            ScorerValue::Number => "number",
            ScorerValue::Integer => "integer",
            ScorerValue::Boolean => "boolean",
            ScorerValue::Text => "text",
        };
        match self.list {
            Some(length) => write!(f, "list of {length} {value}s"),
            None => f.write_str(value),
        }
    }
}

/// What a column of lists has in its lists.
fn item(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Some(field.data_type())
        }
        _ => None,
    }
}

/// Whether a column holds texts.
fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

/// A loaded model with its output chosen: what planning checks and what scoring calls.
pub trait Scorer: Debug + Send + Sync {
    /// The inputs in the model's order.
    fn inputs(&self) -> &[ScorerInput];
    /// The type of the chosen output.
    fn output(&self) -> DataType;
    /// Which output is given, as OUTPUT names it; None where the model has no other.
    fn chosen(&self) -> Option<String> {
        None
    }
    /// The version that rows carry: the digest of the model's file.
    fn version(&self) -> &str;
    /// Scores rows: columns that the inputs take, in the model's order, NULL for a missing value. NULL comes out for a
    /// row on which the model fails.
    fn score(&self, inputs: &[ArrayRef]) -> Result<ArrayRef>;
}
