//! Activations with parameters, and Gelu.

use super::arithmetic::{apply, combine};
use super::elementwise::{Binary, MapStep, Unary};
use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::dims::Dims;
use crate::math;
use crate::node::{Checked, shown};
use crate::value::{Cell, Element, Tensor, Value};
use std::marker::PhantomData;

/// LeakyRelu, Elu, Celu, HardSigmoid, HardSwish, Mish and Selu.
pub fn activation(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["alpha", "beta", "gamma"])?;
    let input = operation.tensor(builder, 0)?;
    if input.element != Element::Float {
        return Err(format!("of {} is not supported, expected floats", input.describe()));
    }
    let number = |name: &str, absent: f32| Ok::<f32, String>(node.float(name)?.unwrap_or(absent));
    let constant = input.is_constant();
    let inputs = builder.all_registers(&input)?;
    let form = (Element::Float, inputs.len());
    let kinds = PhantomData::<(f32, f32)>;
    let cost = 8 * form.1;
    let cells = match operation.proto.op_type.as_str() {
        "LeakyRelu" => {
            let alpha = number("alpha", 0.01)?;
            let map = move |x: f32| Some(if x < 0.0 { alpha * x } else { x });
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds })?
        }
        "Elu" => {
            let alpha = number("alpha", 1.0)?;
            let map = move |x: f32| Some(if x < 0.0 { alpha * libm::expm1f(x) } else { x });
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds })?
        }
        "Celu" => {
            let alpha = number("alpha", 1.0)?;
            let map = move |x: f32| Some(if x < 0.0 { alpha * libm::expm1f(x / alpha) } else { x });
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds })?
        }
        "HardSwish" => {
            let map = |x: f32| Some(x * (x / 6.0 + 0.5).clamp(0.0, 1.0));
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds })?
        }
        "Mish" => {
            let softplus = |x: f32| x.max(0.0) + libm::log1pf(math::exp(-x.abs()));
            let map = move |x: f32| Some(x * math::tanh(softplus(x)));
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds })?
        }
        "HardSigmoid" => {
            let (alpha, beta) = (number("alpha", 0.2)?, number("beta", 0.5)?);
            let map = move |x: f32| Some((alpha * x + beta).clamp(0.0, 1.0));
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds })?
        }
        _ => {
            let (alpha, gamma) = (number("alpha", 1.673_263_2)?, number("gamma", 1.050_701)?);
            let map = move |x: f32| Some(if x > 0.0 { gamma * x } else { gamma * alpha * libm::expm1f(x) });
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds })?
        }
    };
    one(Tensor::new(Element::Float, input.dims.clone(), cells))
}

/// PRelu: a slope for what is negative, of each number or of each channel.
pub fn p_relu(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 2)?;
    operation.node(&[])?;
    let (x, slope) = (operation.tensor(builder, 0)?, operation.tensor(builder, 1)?);
    if x.element != Element::Float {
        return Err(format!("of {} is not supported, expected floats", x.describe()));
    }
    let zero = Tensor::new(Element::Float, Dims::fixed(&[])?, vec![Cell::Float(0.0)]);
    let above = combine(builder, Binary::Max, &x, &zero)?;
    let below = combine(builder, Binary::Min, &x, &zero)?;
    let below = combine(builder, Binary::Mul, &below, &slope)?;
    one(combine(builder, Binary::Add, &above, &below)?)
}

/// Gelu, exact or by tanh.
pub fn gelu(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["approximate"])?;
    let x = operation.tensor(builder, 0)?;
    let number =
        |number: f32| Ok::<Tensor, String>(Tensor::new(Element::Float, Dims::fixed(&[])?, vec![Cell::Float(number)]));
    let share = match node.text("approximate", "none")? {
        "none" => {
            let scaled = combine(builder, Binary::Mul, &x, &number(std::f32::consts::FRAC_1_SQRT_2)?)?;
            apply(builder, Unary::Erf, &scaled)?
        }
        "tanh" => {
            let square = combine(builder, Binary::Mul, &x, &x)?;
            let cube = combine(builder, Binary::Mul, &square, &x)?;
            let cube = combine(builder, Binary::Mul, &cube, &number(0.044_715)?)?;
            let sum = combine(builder, Binary::Add, &x, &cube)?;
            let scaled = combine(builder, Binary::Mul, &sum, &number(0.797_884_6)?)?;
            apply(builder, Unary::Tanh, &scaled)?
        }
        other => return Err(format!("attribute \"approximate\" is {}, expected none or tanh", shown(other))),
    };
    let share = combine(builder, Binary::Add, &share, &number(1.0)?)?;
    let half = combine(builder, Binary::Mul, &x, &number(0.5)?)?;
    one(combine(builder, Binary::Mul, &half, &share)?)
}
