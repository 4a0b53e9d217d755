//! Operators that calculate number by number, on tensors of shapes that fit.

use super::elementwise::{
    Binary, BinaryStep, CompareStep, Comparison, IntegerStep, MapStep, SelectStep, Unary, UnaryStep,
};
use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::dims::{broadcast, spread};
use crate::node::{Checked, shown};
use crate::registers::Number;
use crate::value::{Cell, Element, Tensor, Value};
use std::marker::PhantomData;

/// Exp, Log, Neg and the other calculations on one number.
pub fn unary(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    operation.node(&[])?;
    let input = operation.tensor(builder, 0)?;
    let op = match operation.proto.op_type.as_str() {
        "Not" => return one(not(builder, &input)?),
        "Abs" => Unary::Abs,
        "Ceil" => Unary::Ceil,
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "Log" => Unary::Log,
        "Neg" => Unary::Neg,
        "Reciprocal" => Unary::Reciprocal,
        "Relu" => Unary::Relu,
        "Round" => Unary::Round,
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Softplus" => Unary::Softplus,
        "Sqrt" => Unary::Sqrt,
        _ => Unary::Tanh,
    };
    one(apply(builder, op, &input)?)
}

/// Applies a calculation to each number of a tensor.
pub fn apply(builder: &mut Builder, op: Unary, input: &Tensor) -> Checked<Tensor> {
    let constant = input.is_constant();
    let inputs = builder.all_registers(input)?;
    let form = (input.element, inputs.len());
    // These take a library call of tens of instructions.
    let dear = matches!(op, Unary::Erf | Unary::Exp | Unary::Log | Unary::Sigmoid | Unary::Softplus | Unary::Tanh);
    let cost = inputs.len() * if dear { 16 } else { 1 };
    let cells = match (input.element, op) {
        (Element::Float, _) => {
            builder.emit(constant, form, cost, |first| UnaryStep::<f32> { op, inputs, first, kind: PhantomData })?
        }
        (Element::Double, _) => {
            builder.emit(constant, form, cost, |first| UnaryStep::<f64> { op, inputs, first, kind: PhantomData })?
        }
        (Element::Int64 | Element::Int32, Unary::Abs | Unary::Neg | Unary::Sign | Unary::Relu) => {
            let map = move |x: i64| {
                Some(match op {
                    Unary::Abs => x.wrapping_abs(),
                    Unary::Neg => x.wrapping_neg(),
                    Unary::Sign => x.signum(),
                    _ => x.max(0),
                })
            };
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds: PhantomData })?
        }
        _ => return Err(format!("of {} is not supported, expected floats", input.describe())),
    };
    // A calculation on scores gives scores of the same classes.
    Ok(Tensor::new(input.element, input.dims.clone(), cells).with_labels(input.labels.clone()))
}

fn not(builder: &mut Builder, input: &Tensor) -> Checked<Tensor> {
    if input.element != Element::Bool {
        return Err(format!("of {} is not supported, expected bool", input.describe()));
    }
    let constant = input.is_constant();
    let inputs = builder.all_registers(input)?;
    let form = (Element::Bool, inputs.len());
    let map = |x: i64| Some(i64::from(x == 0));
    let cells =
        builder.emit(constant, form, inputs.len(), |first| MapStep { inputs, first, map, kinds: PhantomData })?;
    Ok(Tensor::new(Element::Bool, input.dims.clone(), cells))
}

/// Whether a number is missing.
pub fn is_nan(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    operation.node(&[])?;
    let input = operation.tensor(builder, 0)?;
    let constant = input.is_constant();
    let inputs = builder.all_registers(&input)?;
    let (form, cost) = ((Element::Bool, inputs.len()), inputs.len());
    let cells = match input.element {
        Element::Float => {
            let map = |x: f32| Some(i64::from(x.is_nan()));
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds: PhantomData })?
        }
        Element::Double => {
            let map = |x: f64| Some(i64::from(x.is_nan()));
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds: PhantomData })?
        }
        _ => return Err(format!("of {} is not supported, expected floats", input.describe())),
    };
    one(Tensor::new(Element::Bool, input.dims.clone(), cells))
}

/// Whether a number is infinite, on the sides that are asked for.
pub fn is_infinite(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["detect_negative", "detect_positive"])?;
    let is_set = |name: &str| Ok::<bool, String>(node.int(name)?.unwrap_or(1) != 0);
    let (below, above) = (is_set("detect_negative")?, is_set("detect_positive")?);
    let input = operation.tensor(builder, 0)?;
    let constant = input.is_constant();
    let inputs = builder.all_registers(&input)?;
    let (form, cost) = ((Element::Bool, inputs.len()), inputs.len());
    let is_infinite = move |x: f64| Some(i64::from(x == f64::INFINITY && above || x == f64::NEG_INFINITY && below));
    let cells = match input.element {
        Element::Float => {
            let map = move |x: f32| is_infinite(x.into());
            builder.emit(constant, form, cost, |first| MapStep { inputs, first, map, kinds: PhantomData })?
        }
        Element::Double => builder.emit(constant, form, cost, |first| MapStep {
            inputs,
            first,
            map: is_infinite,
            kinds: PhantomData,
        })?,
        _ => return Err(format!("of {} is not supported, expected floats", input.describe())),
    };
    one(Tensor::new(Element::Bool, input.dims.clone(), cells))
}

/// Add, Sub and the other calculations on two numbers.
pub fn binary(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 2)?;
    operation.node(&[])?;
    for at in 0..2 {
        if let Value::Shape(_) = builder.value(operation.input(at)?)? {
            return super::shape::arithmetic(builder, operation);
        }
    }
    let op = match operation.proto.op_type.as_str() {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Pow" => Binary::Pow,
        "And" => Binary::And,
        "Or" => Binary::Or,
        _ => Binary::Xor,
    };
    let (x, mut y) = (operation.tensor(builder, 0)?, operation.tensor(builder, 1)?);
    if op == Binary::Pow && x.element != y.element && y.is_constant() {
        y = super::cast::convert(builder, &y, x.element)?;
    }
    one(combine(builder, op, &x, &y)?)
}

/// Combines two tensors number by number.
pub fn combine(builder: &mut Builder, op: Binary, x: &Tensor, y: &Tensor) -> Checked<Tensor> {
    let (dims, inputs) = pairs(builder, x, y)?;
    let constant = x.is_constant() && y.is_constant();
    let (form, cost) = ((x.element, inputs.len()), inputs.len() * if op == Binary::Pow { 16 } else { 1 });
    let logic = matches!(op, Binary::And | Binary::Or | Binary::Xor);
    let cells = match x.element {
        Element::Float if !logic => {
            builder.emit(constant, form, cost, |first| BinaryStep::<f32> { op, inputs, first, kind: PhantomData })?
        }
        Element::Double if !logic => {
            builder.emit(constant, form, cost, |first| BinaryStep::<f64> { op, inputs, first, kind: PhantomData })?
        }
        Element::Int64 | Element::Int32 if !logic => {
            let narrow = x.element == Element::Int32;
            builder.emit(constant, form, cost, |first| IntegerStep { op, inputs, first, narrow })?
        }
        Element::Bool if logic => {
            builder.emit(constant, form, cost, |first| IntegerStep { op, inputs, first, narrow: false })?
        }
        other => return Err(format!("of {} is not supported", other.name())),
    };
    let labels = [x, y].into_iter().find(|tensor| tensor.labels.is_some() && tensor.dims == dims);
    let labels = labels.and_then(|tensor| tensor.labels.clone());
    Ok(Tensor::new(x.element, dims, cells).with_labels(labels))
}

/// The registers of two tensors, number by number, in their common shape.
fn pairs(builder: &mut Builder, x: &Tensor, y: &Tensor) -> Checked<(crate::dims::Dims, Vec<(u32, u32)>)> {
    if x.element != y.element {
        return Err(format!("combines {} and {}, expected one element type", x.describe(), y.describe()));
    }
    let dims = broadcast(&[&x.dims, &y.dims])?;
    let at_x = builder.registers(spread(&x.dims, &dims).into_iter().map(|at| x.cells[at]))?;
    let at_y = builder.registers(spread(&y.dims, &dims).into_iter().map(|at| y.cells[at]))?;
    Ok((dims, at_x.into_iter().zip(at_y).collect()))
}

/// Sum, Max, Min and Mean of any number of tensors.
pub fn variadic(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 4096)?;
    operation.node(&[])?;
    let op = match operation.proto.op_type.as_str() {
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        _ => Binary::Add,
    };
    let mut result = operation.tensor(builder, 0)?;
    for at in 1..operation.proto.input.len() {
        let next = operation.tensor(builder, at)?;
        result = combine(builder, op, &result, &next)?;
    }
    if operation.proto.op_type == "Mean" {
        let count = operation.proto.input.len() as f64;
        let count = Tensor::new(Element::Double, crate::dims::Dims::fixed(&[])?, vec![Cell::Double(count)]);
        let count = super::cast::convert(builder, &count, result.element)?;
        result = combine(builder, Binary::Div, &result, &count)?;
    }
    one(result)
}

/// Equal, Less and the other comparisons.
pub fn compare(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 2)?;
    operation.node(&[])?;
    let op = match operation.proto.op_type.as_str() {
        "Equal" => Comparison::Equal,
        "Less" => Comparison::Less,
        "LessOrEqual" => Comparison::LessOrEqual,
        "Greater" => Comparison::Greater,
        _ => Comparison::GreaterOrEqual,
    };
    let (x, y) = (operation.tensor(builder, 0)?, operation.tensor(builder, 1)?);
    if x.element == Element::Text && !(op == Comparison::Equal && (x.is_constant() || y.is_constant())) {
        return Err("compares two columns of texts, expected one of them to be constant".to_string());
    }
    one(compared(builder, op, &x, &y)?)
}

/// Compares two tensors number by number.
pub fn compared(builder: &mut Builder, op: Comparison, x: &Tensor, y: &Tensor) -> Checked<Tensor> {
    let (dims, inputs) = pairs(builder, x, y)?;
    let constant = x.is_constant() && y.is_constant();
    let (form, cost) = ((Element::Bool, inputs.len()), inputs.len());
    let kind = PhantomData;
    let cells = match x.element {
        Element::Float => builder.emit(constant, form, cost, |first| CompareStep::<f32> { op, inputs, first, kind }),
        Element::Double => {
            builder.emit(constant, form, cost, |first| CompareStep::<f64> { op, inputs, first, kind: PhantomData })
        }
        _ => builder.emit(constant, form, cost, |first| CompareStep::<i64> { op, inputs, first, kind: PhantomData }),
    };
    Ok(Tensor::new(Element::Bool, dims, cells?))
}

/// Where: one of two numbers, as a truth value says.
pub fn select(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(3, 3)?;
    operation.node(&[])?;
    let condition = operation.tensor(builder, 0)?;
    let (yes, no) = (operation.tensor(builder, 1)?, operation.tensor(builder, 2)?);
    if condition.element != Element::Bool || yes.element != no.element {
        let shown = [&condition, &yes, &no].map(Tensor::describe).join(", ");
        return Err(format!("of {shown} is not supported, expected bool and two of one element type"));
    }
    let dims = broadcast(&[&condition.dims, &yes.dims, &no.dims])?;
    let constant = [&condition, &yes, &no].iter().all(|tensor| tensor.is_constant());
    let mut at =
        |tensor: &Tensor| builder.registers(spread(&tensor.dims, &dims).into_iter().map(|at| tensor.cells[at]));
    let (conditions, at_yes, at_no) = (at(&condition)?, at(&yes)?, at(&no)?);
    let inputs = at_yes.into_iter().zip(at_no).collect();
    let form = (yes.element, conditions.len());
    let cells = match yes.element {
        Element::Float => choose::<f32>(builder, constant, form, conditions, inputs)?,
        Element::Double => choose::<f64>(builder, constant, form, conditions, inputs)?,
        _ => choose::<i64>(builder, constant, form, conditions, inputs)?,
    };
    one(Tensor::new(yes.element, dims, cells))
}

fn choose<T: Number>(
    builder: &mut Builder,
    constant: bool,
    form: (Element, usize),
    conditions: Vec<u32>,
    inputs: Vec<(u32, u32)>,
) -> Checked<Vec<Cell>> {
    let kind = PhantomData;
    builder.emit(constant, form, form.1, |first| SelectStep::<T> { conditions, inputs, first, kind })
}

/// Clip: a number within limits, which are constant.
pub fn clip(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 3)?;
    let node = operation.node(&["min", "max"])?;
    let mut result = operation.tensor(builder, 0)?;
    let labels = result.labels.take();
    for (place, name, op) in [(1, "min", Binary::Max), (2, "max", Binary::Min)] {
        let limit = match (operation.optional(place), node.float(name)?) {
            (Some(_), None) => {
                let limit = operation.tensor(builder, place)?;
                if limit.cells.len() != 1 || !limit.is_constant() {
                    let input = shown(operation.input(place)?);
                    return Err(format!("input {input} is {}, expected one constant", limit.describe()));
                }
                Tensor { dims: crate::dims::Dims::fixed(&[])?, ..limit }
            }
            (None, Some(limit)) => {
                Tensor::new(Element::Float, crate::dims::Dims::fixed(&[])?, vec![Cell::Float(limit)])
            }
            (Some(_), Some(_)) => return Err(format!("has \"{name}\" as an input and as an attribute, expected one")),
            (None, None) => continue,
        };
        // The number comes first: it stays missing where it is.
        result = combine(builder, op, &result, &limit)?;
    }
    one(result.with_labels(labels))
}
