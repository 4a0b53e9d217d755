//! BatchNormalization as it is when a model scores, InstanceNormalization and LayerNormalization.

use super::arithmetic::{apply, combine};
use super::cast::convert;
use super::elementwise::{Binary, Unary};
use super::operation::{Operation, one};
use super::reduce::mean;
use crate::builder::Builder;
use crate::dims::Dims;
use crate::node::Checked;
use crate::value::{Cell, Element, Tensor, Value};

/// A number of a node, of the type of what it is added to.
fn number(builder: &mut Builder, number: f32, element: Element) -> Checked<Tensor> {
    let number = Tensor::new(Element::Float, Dims::fixed(&[])?, vec![Cell::Float(number)]);
    convert(builder, &number, element)
}

/// The root of a variance, to which a small number is added so that nothing is divided by 0.
fn deviation(builder: &mut Builder, variance: &Tensor, epsilon: Option<f32>) -> Checked<Tensor> {
    let epsilon = number(builder, epsilon.unwrap_or(1e-5), variance.element)?;
    let variance = combine(builder, Binary::Add, variance, &epsilon)?;
    apply(builder, Unary::Sqrt, &variance)
}

/// How the numbers of a row lie around their mean.
struct Spread {
    centre: Tensor,
    distance: Tensor,
    deviation: Tensor,
}

impl Spread {
    /// That of the dimensions from one on.
    fn of(builder: &mut Builder, x: &Tensor, from: usize, epsilon: Option<f32>) -> Checked<Spread> {
        let axes: Vec<usize> = (from..x.dims.rank()).collect();
        let centre = mean(builder, x, &axes)?;
        let distance = combine(builder, Binary::Sub, x, &centre)?;
        let square = combine(builder, Binary::Mul, &distance, &distance)?;
        let variance = mean(builder, &square, &axes)?;
        let deviation = deviation(builder, &variance, epsilon)?;
        Ok(Spread { centre, distance, deviation })
    }
}

/// BatchNormalization with constant statistics: one factor and one summand for each channel.
pub fn batch_normalization(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(5, 5)?;
    let node = operation.node(&["epsilon", "momentum", "training_mode", "spatial"])?;
    if node.int("training_mode")?.unwrap_or(0) != 0 {
        return Err("is in training mode, expected a model exported for scoring".to_string());
    }
    let x = operation.tensor(builder, 0)?;
    if x.dims.rank() < 2 {
        return Err(format!("of {} is not supported, expected [rows, channels, ..]", x.describe()));
    }
    // One number for each channel, beside all that comes after the channels.
    let shape = |tensor: Tensor| -> Checked<Tensor> {
        let mut sizes = vec![tensor.cells.len()];
        sizes.resize(x.dims.rank() - 1, 1);
        Ok(Tensor { dims: Dims::fixed(&sizes)?, ..tensor })
    };
    let part = |at: usize| -> Checked<Tensor> { shape(operation.tensor(builder, at)?) };
    let (scale, bias, mean, variance) = (part(1)?, part(2)?, part(3)?, part(4)?);
    let deviation = deviation(builder, &variance, node.float("epsilon")?)?;
    let factor = combine(builder, Binary::Div, &scale, &deviation)?;
    let shift = combine(builder, Binary::Mul, &mean, &factor)?;
    let shift = combine(builder, Binary::Sub, &bias, &shift)?;
    let scaled = combine(builder, Binary::Mul, &x, &factor)?;
    one(combine(builder, Binary::Add, &scaled, &shift)?)
}

/// InstanceNormalization: each channel of a row by its own mean and deviation.
pub fn instance_normalization(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(3, 3)?;
    let node = operation.node(&["epsilon"])?;
    let x = operation.tensor(builder, 0)?;
    if x.dims.rank() < 3 {
        return Err(format!("of {} is not supported, expected [rows, channels, ..]", x.describe()));
    }
    let Spread { distance, deviation, .. } = Spread::of(builder, &x, 2, node.float("epsilon")?)?;
    let of_channels = |at: usize| -> Checked<Tensor> {
        let tensor = operation.tensor(builder, at)?;
        let mut sizes = vec![tensor.cells.len()];
        sizes.resize(x.dims.rank() - 1, 1);
        Ok(Tensor { dims: Dims::fixed(&sizes)?, ..tensor })
    };
    let (scale, bias) = (of_channels(1)?, of_channels(2)?);
    let share = combine(builder, Binary::Div, &distance, &deviation)?;
    let scaled = combine(builder, Binary::Mul, &share, &scale)?;
    one(combine(builder, Binary::Add, &scaled, &bias)?)
}

/// LayerNormalization over the last dimensions of a row.
pub fn layer_normalization(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 3)?;
    let node = operation.node(&["axis", "epsilon", "stash_type"])?;
    let x = operation.tensor(builder, 0)?;
    let axis = x.dims.axis(node.int("axis")?.unwrap_or(-1))?;
    let Spread { centre, distance, deviation } = Spread::of(builder, &x, axis, node.float("epsilon")?)?;
    let mut result = combine(builder, Binary::Div, &distance, &deviation)?;
    result = combine(builder, Binary::Mul, &result, &operation.tensor(builder, 1)?)?;
    if operation.optional(2).is_some() {
        result = combine(builder, Binary::Add, &result, &operation.tensor(builder, 2)?)?;
    }
    // The statistics are outputs too, which hardly anybody asks for.
    let spread = apply(builder, Unary::Reciprocal, &deviation)?;
    Ok(vec![Value::Tensor(result), Value::Tensor(centre), Value::Tensor(spread)])
}
