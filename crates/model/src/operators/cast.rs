//! Cast: numbers of one type as numbers of another.

use super::elementwise::MapStep;
use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::node::Checked;
use crate::registers::Number;
use crate::value::{Cell, Element, Tensor, Value};
use std::marker::PhantomData;

pub fn cast(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["to", "saturate", "round_mode"])?;
    let to = Element::read(node.int("to")?.and_then(|to| i32::try_from(to).ok()).unwrap_or(0))?;
    match builder.value(operation.input(0)?)?.clone() {
        Value::Tensor(input) => one(convert(builder, &input, to)?),
        shape @ Value::Shape(_) if to == Element::Int64 => Ok(vec![shape]),
        other => Err(format!("of {} to {} is not supported", other.describe(), to.name())),
    }
}

/// A tensor's numbers as numbers of another type.
pub fn convert(builder: &mut Builder, input: &Tensor, to: Element) -> Checked<Tensor> {
    let from = input.element;
    if from == to || (from == Element::Bool && to.is_integer()) || (from == Element::Int32 && to == Element::Int64) {
        return Ok(Tensor { element: to, ..input.clone() });
    }
    let cells = match (from, to) {
        (Element::Text, _) | (_, Element::Text) => {
            return Err(format!(
                "of {} to {} is not supported, expected numbers: give a column of texts to the model as texts, and a \
                 column of numbers as numbers",
                input.describe(),
                to.name()
            ));
        }
        (Element::Float, Element::Double) => map(builder, input, to, |x: f32| f64::from(x))?,
        (Element::Double, Element::Float) => map(builder, input, to, |x: f64| x as f32)?,
        (Element::Float, Element::Bool) => map(builder, input, to, |x: f32| i64::from(x != 0.0))?,
        (Element::Double, Element::Bool) => map(builder, input, to, |x: f64| i64::from(x != 0.0))?,
        (Element::Float, Element::Int32) => map(builder, input, to, |x: f32| whole_32(f64::from(x)))?,
        (Element::Double, Element::Int32) => map(builder, input, to, whole_32)?,
        (Element::Float, _) => map(builder, input, to, |x: f32| whole_64(f64::from(x)))?,
        (Element::Double, _) => map(builder, input, to, whole_64)?,
        (_, Element::Float) => map(builder, input, to, |x: i64| x as f32)?,
        (_, Element::Double) => map(builder, input, to, |x: i64| x as f64)?,
        (_, Element::Bool) => map(builder, input, to, |x: i64| i64::from(x != 0))?,
        (_, Element::Int32) => map(builder, input, to, |x: i64| i64::from(x as i32))?,
        (_, Element::Int64) => input.cells.to_vec(),
    };
    Ok(Tensor::new(to, input.dims.clone(), cells).with_labels(input.labels.clone()))
}

/// A number without its fraction. What does not fit, and what is missing, is the least number, as x86 has it.
fn whole_64(x: f64) -> i64 {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if (-BEYOND..BEYOND).contains(&x) { x as i64 } else { i64::MIN }
}

fn whole_32(x: f64) -> i64 {
    let whole = x.trunc();
    if whole >= f64::from(i32::MIN) && whole <= f64::from(i32::MAX) { whole as i64 } else { i64::from(i32::MIN) }
}

fn map<T: Number, U: Number>(
    builder: &mut Builder,
    input: &Tensor,
    to: Element,
    map: impl Fn(T) -> U + Send + Sync + 'static,
) -> Checked<Vec<Cell>> {
    let constant = input.is_constant();
    let inputs = builder.all_registers(input)?;
    let form = (to, inputs.len());
    let map = move |x| Some(map(x));
    builder.emit(constant, form, form.1, |first| MapStep { inputs, first, map, kinds: PhantomData::<(T, U)> })
}
