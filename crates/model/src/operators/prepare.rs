//! Operators of ai.onnx.ml that prepare numbers: Scaler, Normalizer, Imputer, Binarizer, FeatureVectorizer.

use super::arithmetic;
use super::elementwise::{Binary, MapStep, Real};
use super::layout::join;
use super::linear::features;
use super::operation::{Operation, one};
use crate::builder::{Builder, matrix};
use crate::dims::{Dim, Dims};
use crate::node::{Checked, shown};
use crate::registers::{LANES, Number, Registers, Step, split};
use crate::value::{Cell, Element, Tensor, Value};
use std::marker::PhantomData;

/// Scaler: `(x - offset) * scale`.
pub fn scaler(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["offset", "scale"])?;
    let width = features(builder, operation)?.len();
    let input = super::cast::convert(builder, &operation.tensor(builder, 0)?, Element::Float)?;
    let constant = |name: &str, absent: f32| {
        let cells = match node.floats(name)? {
            [] => vec![Cell::Float(absent)],
            list if list.len() == 1 || list.len() == width => list.iter().copied().map(Cell::Float).collect(),
            list => return Err(format!("attribute \"{name}\" has {} entries, expected 1 or {width}", list.len())),
        };
        Ok(Tensor::new(Element::Float, Dims::fixed(&[cells.len()])?, cells))
    };
    let (offset, scale) = (constant("offset", 0.0)?, constant("scale", 1.0)?);
    let shifted = arithmetic::combine(builder, Binary::Sub, &input, &offset)?;
    one(arithmetic::combine(builder, Binary::Mul, &shifted, &scale)?)
}

/// The size by which a row is divided.
#[derive(Clone, Copy, Debug)]
enum Norm {
    Max,
    L1,
    L2,
}

/// Normalizer: a row by its size.
pub fn normalizer(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["norm"])?;
    let norm = match node.text("norm", "MAX")? {
        "MAX" => Norm::Max,
        "L1" => Norm::L1,
        "L2" => Norm::L2,
        other => return Err(format!("attribute \"norm\" is {}, expected MAX, L1 or L2", shown(other))),
    };
    let labels = operation.tensor(builder, 0)?.labels;
    let inputs = features(builder, operation)?;
    let width = inputs.len();
    let first = builder.allocate(Element::Float, width)?;
    builder.push(4 * width, NormStep { norm, inputs, first })?;
    one(matrix(Element::Float, first, width)?.with_labels(labels))
}

#[derive(Debug)]
struct NormStep {
    norm: Norm,
    inputs: Vec<u32>,
    first: u32,
}

impl Step for NormStep {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let (read, written) = split::<f32>(registers, self.first);
        let mut size = [0.0f32; LANES];
        if let Norm::Max = self.norm {
            size = [f32::MIN; LANES];
        }
        for input in &self.inputs {
            for (size, x) in size.iter_mut().zip(&read[*input as usize]).take(rows) {
                *size = match self.norm {
                    Norm::Max => size.max(*x),
                    Norm::L1 => *size + x.abs(),
                    Norm::L2 => *size + x * x,
                };
            }
        }
        for (input, out) in self.inputs.iter().zip(written) {
            let x = &read[*input as usize];
            for row in 0..rows {
                out[row] = match self.norm {
                    Norm::Max | Norm::L1 if size[row] == 0.0 => x[row],
                    Norm::Max | Norm::L1 => x[row] / size[row],
                    Norm::L2 if size[row] == 0.0 => x[row],
                    Norm::L2 => (x[row] * x[row] / size[row]).sqrt().copysign(x[row]),
                };
            }
        }
    }
}

/// Imputer: another number where one is missing.
pub fn imputer(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&[
        "imputed_value_floats",
        "imputed_value_int64s",
        "replaced_value_float",
        "replaced_value_int64",
    ])?;
    let input = operation.tensor(builder, 0)?;
    let width = match input.dims.list().last() {
        Some(Dim::Fixed(width)) => *width,
        _ => return Err(format!("of {} is not supported, expected a tensor [rows, features]", input.describe())),
    };
    let fits = |length: usize| match length {
        1 => Ok(()),
        length if length == width => Ok(()),
        length => Err(format!("has {length} numbers to impute, expected 1 or {width}")),
    };
    let repeated = |at: usize, length: usize| if length == 1 { 0 } else { at % width };
    let cells: Vec<Cell> = match input.element {
        Element::Float => {
            let (by, missing) = (node.any_floats("imputed_value_floats")?, node.float("replaced_value_float")?);
            fits(by.len())?;
            let missing = missing.unwrap_or(0.0);
            let by = |at: usize| by[repeated(at, by.len())];
            replace(builder, &input, by, move |x: f32| x == missing || (missing.is_nan() && x.is_nan()))?
        }
        Element::Double => {
            let (by, missing) = (node.any_floats("imputed_value_floats")?, node.float("replaced_value_float")?);
            fits(by.len())?;
            let missing = f64::from(missing.unwrap_or(0.0));
            let by = |at: usize| f64::from(by[repeated(at, by.len())]);
            replace(builder, &input, by, move |x: f64| x == missing || (missing.is_nan() && x.is_nan()))?
        }
        Element::Int64 => {
            let (by, missing) = (node.ints("imputed_value_int64s")?, node.int("replaced_value_int64")?.unwrap_or(0));
            fits(by.len())?;
            replace(builder, &input, |at| by[repeated(at, by.len())], move |x: i64| x == missing)?
        }
        _ => return Err(format!("of {} is not supported, expected numbers", input.describe())),
    };
    one(Tensor::new(input.element, input.dims.clone(), cells))
}

fn replace<T: Number>(
    builder: &mut Builder,
    input: &Tensor,
    by: impl Fn(usize) -> T,
    missing: impl Fn(T) -> bool + Copy + Send + Sync + 'static,
) -> Checked<Vec<Cell>> {
    let constant = input.is_constant();
    let mut cells = Vec::with_capacity(input.cells.len());
    for (at, cell) in input.cells.iter().enumerate() {
        let (inputs, by) = (vec![builder.register(*cell)?], by(at));
        let map = move |x: T| Some(if missing(x) { by } else { x });
        let step = |first| MapStep { inputs, first, map, kinds: PhantomData };
        cells.extend(builder.emit(constant, (input.element, 1), 1, step)?);
    }
    Ok(cells)
}

/// Binarizer: 1 above a threshold, else 0.
pub fn binarizer(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["threshold"])?;
    let threshold = node.float("threshold")?.unwrap_or(0.0);
    let input = operation.tensor(builder, 0)?;
    let cells = match input.element {
        Element::Float => above(builder, &input, threshold)?,
        Element::Double => above(builder, &input, f64::from(threshold))?,
        _ => return Err(format!("of {} is not supported, expected floats", input.describe())),
    };
    one(Tensor::new(input.element, input.dims.clone(), cells))
}

fn above<T: Real>(builder: &mut Builder, input: &Tensor, threshold: T) -> Checked<Vec<Cell>> {
    let constant = input.is_constant();
    let inputs = builder.all_registers(input)?;
    let form = (input.element, inputs.len());
    let map = move |x: T| Some(T::from_f64(if x > threshold { 1.0 } else { 0.0 }));
    builder.emit(constant, form, form.1, |first| MapStep { inputs, first, map, kinds: PhantomData })
}

/// FeatureVectorizer: numbers of several inputs as the floats of one.
pub fn feature_vectorizer(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1 << 16)?;
    let node = operation.node(&["inputdimensions"])?;
    let widths = node.ints("inputdimensions")?;
    let mut parts = Vec::new();
    for at in 0..operation.proto.input.len() {
        let input = super::cast::convert(builder, &operation.tensor(builder, at)?, Element::Float)?;
        let width = input.cells.len();
        if widths.get(at).is_some_and(|expected| *expected != width as i64) {
            return Err(format!("input {at} is {}, expected {} numbers per row", input.describe(), widths[at]));
        }
        parts.push(Tensor { dims: Dims::matrix(width)?, ..input });
    }
    one(join(&parts, 1)?)
}
