//! What the names in a graph stand for while it is folded into a plan, and the checks of declared types.

use crate::aggregate::{Ensemble, Labels};
use crate::node::{Checked, shown};
use crate::onnx::{TensorProto, TensorType, TypeProto, ValueInfoProto, element};
use std::sync::Arc;

/// The most features that a model may take.
pub const FEATURES_MAX: usize = 1 << 16;

/// What a name in the graph stands for.
#[derive(Clone)]
pub enum Value {
    Features {
        columns: Arc<[usize]>,
        element: i32,
    },
    Constant(Arc<[f32]>),
    /// A tensor that no supported operator reads.
    Opaque {
        element: i32,
    },
    Scores {
        ensemble: usize,
        width: usize,
        then: Vec<Calculation>,
    },
    Label {
        ensemble: usize,
    },
    Maps {
        ensemble: usize,
        then: Vec<Calculation>,
    },
}

impl Value {
    /// What it is, as messages say it.
    pub fn describe(&self) -> String {
        match self {
            Value::Features { element, .. } => format!("columns of {}", element::name(*element)),
            Value::Constant(numbers) => format!("a constant of {} numbers", numbers.len()),
            Value::Opaque { element } => format!("a constant of {}", element::name(*element)),
            Value::Scores { width, .. } => format!("{width} scores"),
            Value::Label { .. } => "a class label".to_string(),
            Value::Maps { .. } => "maps".to_string(),
        }
    }
}

/// A calculation on a score, with one number for all scores or one for each.
#[derive(Clone, Debug)]
pub enum Calculation {
    Exp,
    Add(Arc<[f32]>),
    Sub(Arc<[f32]>),
    Mul(Arc<[f32]>),
    Div(Arc<[f32]>),
}

impl Calculation {
    /// The result for the score at an index.
    pub fn apply(&self, value: f32, index: usize) -> f32 {
        let at = |numbers: &[f32]| if numbers.len() == 1 { numbers[0] } else { numbers[index] };
        match self {
            Calculation::Exp => value.exp(),
            Calculation::Add(numbers) => value + at(numbers),
            Calculation::Sub(numbers) => value - at(numbers),
            Calculation::Mul(numbers) => value * at(numbers),
            Calculation::Div(numbers) => value / at(numbers),
        }
    }
}

/// An ensemble and the columns that it is fed, by their place among the model's inputs.
pub struct Fed {
    pub ensemble: Ensemble,
    pub columns: Arc<[usize]>,
}

/// Reads a constant. Its data lies in the file; a path to another file is never followed.
pub fn constant(tensor: &TensorProto) -> Checked<Value> {
    let wrong = |what: String| format!("initializer {}: {what}", shown(&tensor.name));
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        return Err(wrong("its data is in another file, expected a model in one file".to_string()));
    }
    if tensor.data_type != element::FLOAT {
        return Ok(Value::Opaque { element: tensor.data_type });
    }
    let numbers: Vec<f32> = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        let (chunks, rest) = tensor.raw_data.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(wrong(format!("{} bytes of data, expected floats of 4 bytes", tensor.raw_data.len())));
        }
        chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let claimed = tensor.dims.iter().try_fold(1u64, |product, &dim| u64::try_from(dim).ok()?.checked_mul(product));
    if claimed != Some(numbers.len() as u64) {
        return Err(wrong(format!("dimensions {:?} for {} numbers", first(&tensor.dims), numbers.len())));
    }
    Ok(Value::Constant(numbers.into()))
}

/// The first few of what may be many.
fn first<T>(items: &[T]) -> &[T] {
    &items[..items.len().min(8)]
}

/// The element type and the number of features of an input.
pub fn input_type(input: &ValueInfoProto, listed: Option<usize>) -> Checked<(i32, usize)> {
    let tensor = input.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref());
    let tensor = tensor.ok_or("is not a tensor, expected a tensor of float of shape [rows, features]")?;
    let element = tensor.elem_type;
    if !matches!(element, element::FLOAT | element::DOUBLE | element::INT64 | element::INT32 | element::BOOL) {
        return Err(format!("is a tensor of {}, expected float", element::name(element)));
    }
    let shape = shape(tensor).ok_or("has no shape, expected [rows, features]")?;
    let [_, width] = shape.as_slice() else {
        return Err(format!("has {} dimensions, expected 2: [rows, features]", shape.len()));
    };
    match (width, listed) {
        (Some(width), _) if (1..=FEATURES_MAX as i64).contains(width) => Ok((element, *width as usize)),
        (Some(width), _) => Err(format!("has {width} features, expected 1 to {FEATURES_MAX}")),
        (None, Some(listed @ 1..=FEATURES_MAX)) => Ok((element, listed)),
        (None, _) => Err("does not say how many features it has, expected a fixed second dimension".to_string()),
    }
}

/// The dimensions of a tensor; None for those that are open.
fn shape(tensor: &TensorType) -> Option<Vec<Option<i64>>> {
    Some(tensor.shape.as_ref()?.dim.iter().map(|dim| dim.dim_value).collect())
}

/// Refuses an output whose declared type is not that of what it holds.
pub fn check_output_type(info: &ValueInfoProto, value: &Value, ensembles: &[Fed]) -> Checked<()> {
    let declared: &TypeProto = info.r#type.as_ref().ok_or("has no type")?;
    let expected = match value {
        Value::Maps { .. } if declared.sequence_type.is_some() => return Ok(()),
        Value::Maps { .. } => return Err("is declared a tensor, expected a sequence of maps".to_string()),
        Value::Label { ensemble } => match ensembles[*ensemble].ensemble.labels {
            Some(Labels::Texts(_)) => [element::STRING, element::STRING],
            _ => [element::INT64, element::INT64],
        },
        _ => [element::FLOAT, element::DOUBLE],
    };
    match declared.tensor_type.as_ref().map(|tensor| tensor.elem_type) {
        Some(found) if expected.contains(&found) => Ok(()),
        Some(found) => Err(format!("is declared {}, expected {}", element::name(found), element::name(expected[0]))),
        None => Err(format!("is not declared a tensor, expected a tensor of {}", element::name(expected[0]))),
    }
}
