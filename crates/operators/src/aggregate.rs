//! The aggregate functions of windows and of aggregates over another stream, and the types that they give.

use arrow::datatypes::DataType;
use dataflow::{Error, Result};

/// A function of the rows of a frame. NULL arguments do not count; an empty frame gives 0 for the counts and NULL
/// for everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// `count(*)`, or the values that are not NULL.
    Count,
    /// The different values, exactly.
    CountDistinct,
    /// The sum: exact; of integers a BIGINT (a row whose sum does not fit is bad), of floats rounded once.
    Sum,
    /// The exact sum over the count, as a DOUBLE; of times a time, to the microsecond.
    Avg,
    /// The least value.
    Min,
    /// The greatest value; NaN is above all numbers.
    Max,
    /// The standard deviation of a sample; NULL for fewer than two values.
    StddevSamp,
    /// The standard deviation of all values.
    StddevPop,
    /// The variance of a sample; NULL for fewer than two values.
    VarSamp,
    /// The variance of all values.
    VarPop,
    /// The value of the row so many rows before, in time order; it knows no frame.
    Lag {
        /// How many rows before; at least 1.
        offset: usize,
    },
}

impl Aggregate {
    /// The type of the values for an argument of a type (`None`: no argument, as in `count(*)`).
    pub fn output_type(&self, argument: Option<&DataType>) -> Result<DataType> {
        use Aggregate::*;
        let name = self.name();
        let Some(argument) = argument else {
            return match self {
                Count => Ok(DataType::Int64),
                _ => Err(Error::invalid(format!("{name} has no argument, expected one; write {name}(column)"))),
            };
        };
        let numeric = is_integer(argument) || is_float(argument);
        match self {
            Count | CountDistinct => Ok(DataType::Int64),
            Min | Max | Lag { .. } => Ok(argument.clone()),
            Sum if is_integer(argument) => Ok(DataType::Int64),
            Avg if is_time(argument) => Ok(argument.clone()),
            Sum | Avg | StddevSamp | StddevPop | VarSamp | VarPop if numeric => Ok(DataType::Float64),
            _ => Err(Error::invalid(format!(
                "{name} has an argument of type {argument}, expected a number; cast it to BIGINT or DOUBLE"
            ))),
        }
    }

    /// Whether a value is NULL for an empty frame.
    pub fn is_nullable(&self) -> bool {
        !matches!(self, Aggregate::Count | Aggregate::CountDistinct)
    }

    /// The function's name in SQL.
    pub fn name(&self) -> &'static str {
        match self {
            Aggregate::Count => "count",
            Aggregate::CountDistinct => "count(DISTINCT)",
            Aggregate::Sum => "sum",
            Aggregate::Avg => "avg",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::StddevSamp => "stddev_samp",
            Aggregate::StddevPop => "stddev_pop",
            Aggregate::VarSamp => "var_samp",
            Aggregate::VarPop => "var_pop",
            Aggregate::Lag { .. } => "lag",
        }
    }
}

/// Whether values add as integers: integers of every width, and booleans as 0 and 1.
pub(crate) fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer() || *data_type == DataType::Boolean
}

/// Whether values add as floats.
pub(crate) fn is_float(data_type: &DataType) -> bool {
    data_type.is_floating()
}

/// Whether the mean of values is a time.
pub(crate) fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}

/// The mean of so many times as DuckDB has it: a sum above zero is rounded to the nearest, halves down, and one below it
/// is cut off towards zero. 0 of none.
pub(crate) fn mean_time(sum: i128, count: i64) -> i64 {
    let count = i128::from(count.max(1));
    let rounds_up = sum % count > count / 2;
    // A mean lies between the values, which are of 64 bits.
    (sum / count + i128::from(rounds_up)) as i64
}

/// What is wrong with a row whose sum of integers is not a BIGINT.
pub(crate) fn does_not_fit(function: &str) -> Error {
    Error::data(format!("the sum \"{}\" does not fit a BIGINT", crate::columns::shown_name(function)))
}
