//! Operators that make one number of several of a row: sums, greatest, softmax.

use super::arithmetic;
use super::elementwise::{Binary, Comparison, Real};
use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::dims::{Dim, Dims};
use crate::node::{Checked, shown};
use crate::registers::{LANES, Lane, Registers, Step, split};
use crate::value::{Cell, Element, Tensor, Value};
use std::marker::PhantomData;

/// What becomes of a group of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reduction {
    Sum,
    Mean,
    Prod,
    Max,
    Min,
    SumSquare,
    L1,
    L2,
    LogSum,
    LogSumExp,
}

/// ReduceSum and the others.
pub fn reduce(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 2)?;
    let node = operation.node(&["axes", "keepdims", "noop_with_empty_axes"])?;
    let input = operation.tensor(builder, 0)?;
    let axes = match node.ints("axes")? {
        [] => operation.integers(builder, 1)?.unwrap_or_default(),
        axes => axes.to_vec(),
    };
    if axes.is_empty() && node.int("noop_with_empty_axes")?.unwrap_or(0) != 0 {
        return one(input);
    }
    let op = match operation.proto.op_type.as_str() {
        "ReduceMean" => Reduction::Mean,
        "ReduceProd" => Reduction::Prod,
        "ReduceMax" => Reduction::Max,
        "ReduceMin" => Reduction::Min,
        "ReduceSumSquare" => Reduction::SumSquare,
        "ReduceL1" => Reduction::L1,
        "ReduceL2" => Reduction::L2,
        "ReduceLogSum" => Reduction::LogSum,
        "ReduceLogSumExp" => Reduction::LogSumExp,
        _ => Reduction::Sum,
    };
    let keep = node.int("keepdims")?.unwrap_or(1) != 0;
    let axes: Vec<usize> = match axes.as_slice() {
        [] => (0..input.dims.rank()).collect(),
        axes => axes.iter().map(|axis| input.dims.axis(*axis)).collect::<Checked<_>>()?,
    };
    for axis in &axes {
        input.dims.fixed_axis(*axis)?;
    }
    one(reduced(builder, op, &input, &axes, keep)?)
}

/// The mean over some axes, which stay as dimensions of 1.
pub fn mean(builder: &mut Builder, input: &Tensor, axes: &[usize]) -> Checked<Tensor> {
    for axis in axes {
        input.dims.fixed_axis(*axis)?;
    }
    reduced(builder, Reduction::Mean, input, axes, true)
}

/// The greatest of each group of a tensor's cells.
pub fn extreme_of(builder: &mut Builder, of: &Tensor, groups: &[Vec<Cell>]) -> Checked<Vec<Cell>> {
    of_groups(builder, Reduction::Max, of, groups)
}

/// The mean of each group of a tensor's cells.
pub fn mean_of(builder: &mut Builder, of: &Tensor, groups: &[Vec<Cell>]) -> Checked<Vec<Cell>> {
    of_groups(builder, Reduction::Mean, of, groups)
}

fn of_groups(builder: &mut Builder, op: Reduction, of: &Tensor, groups: &[Vec<Cell>]) -> Checked<Vec<Cell>> {
    if of.element != Element::Float || groups.iter().any(Vec::is_empty) {
        return Err(format!("of {} is not supported, expected floats in every window", of.describe()));
    }
    let registers = |group: &Vec<Cell>| builder.registers(group.iter().copied());
    let groups: Vec<Vec<u32>> = groups.iter().map(registers).collect::<Checked<_>>()?;
    let cost = groups.iter().map(Vec::len).sum();
    let (form, kind) = ((Element::Float, groups.len()), PhantomData::<f32>);
    builder.emit(of.is_constant(), form, cost, |first| ReduceStep { op, groups, first, kind })
}

fn reduced(builder: &mut Builder, op: Reduction, input: &Tensor, axes: &[usize], keep: bool) -> Checked<Tensor> {
    let list = input.dims.list();
    let kept: Vec<Dim> =
        list.iter().enumerate().map(|(at, dim)| if axes.contains(&at) { Dim::Fixed(1) } else { *dim }).collect();
    let wide = Dims::new(kept)?;
    let mut groups: Vec<Vec<u32>> = vec![Vec::new(); wide.cells()];
    let registers = builder.all_registers(input)?;
    // Where each cell of the input goes: the cell of the result under it.
    for (register, group) in registers.iter().zip(crate::dims::spread(&wide, &input.dims)) {
        groups[group].push(*register);
    }
    let out = match keep {
        true => wide,
        false => {
            Dims::new(list.iter().enumerate().filter(|(at, _)| !axes.contains(at)).map(|(_, dim)| *dim).collect())?
        }
    };
    if groups.iter().any(Vec::is_empty) {
        return Err(format!("of {} is not supported, expected at least one number", input.describe()));
    }
    let constant = input.is_constant();
    let (form, cost) =
        ((input.element, groups.len()), registers.len() * if op == Reduction::LogSumExp { 16 } else { 1 });
    let cells = match input.element {
        Element::Float => {
            builder.emit(constant, form, cost, |first| ReduceStep::<f32> { op, groups, first, kind: PhantomData })?
        }
        Element::Double => {
            builder.emit(constant, form, cost, |first| ReduceStep::<f64> { op, groups, first, kind: PhantomData })?
        }
        Element::Int64 | Element::Int32 => {
            builder.emit(constant, form, cost, |first| ReduceIntegers { op, groups, first })?
        }
        _ => return Err(format!("of {} is not supported, expected numbers", input.describe())),
    };
    Ok(Tensor::new(input.element, out, cells))
}

#[derive(Debug)]
struct ReduceStep<T> {
    op: Reduction,
    groups: Vec<Vec<u32>>,
    first: u32,
    kind: PhantomData<T>,
}

/// Combines the registers of a group one by one, in order.
fn fold<T: Real>(read: &[Lane<T>], group: &[u32], sum: &mut Lane<T>, rows: usize, with: impl Fn(T, T) -> T) {
    for register in group {
        for (sum, x) in sum.iter_mut().zip(&read[*register as usize]).take(rows) {
            *sum = with(*sum, *x);
        }
    }
}

/// The greatest of each row, or the least.
fn extreme<T: Real>(read: &[Lane<T>], group: &[u32], rows: usize, op: Binary) -> Lane<T> {
    let apply = T::binary(op);
    let mut found = read[group[0] as usize];
    for register in &group[1..] {
        let before = found;
        apply(&mut found[..rows], &before[..rows], &read[*register as usize][..rows]);
    }
    found
}

impl<T: Real> Step for ReduceStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let (read, written) = split::<T>(registers, self.first);
        for (group, out) in self.groups.iter().zip(written) {
            let mut sum = [T::default(); LANES];
            let add = |sum: T, x: T| sum.plus(x);
            match self.op {
                Reduction::Sum | Reduction::Mean | Reduction::LogSum => fold(read, group, &mut sum, rows, add),
                Reduction::SumSquare | Reduction::L2 => {
                    fold(read, group, &mut sum, rows, |sum, x| sum.plus(x.times(x)))
                }
                Reduction::L1 => fold(read, group, &mut sum, rows, |sum, x| sum.plus(x.abs())),
                Reduction::Prod => {
                    sum = [T::from_f64(1.0); LANES];
                    fold(read, group, &mut sum, rows, |product, x| product.times(x));
                }
                Reduction::Max => sum = extreme(read, group, rows, Binary::Max),
                Reduction::Min => sum = extreme(read, group, rows, Binary::Min),
                Reduction::LogSumExp => {
                    let greatest = finite(extreme(read, group, rows, Binary::Max));
                    for register in group {
                        for (row, sum) in sum.iter_mut().enumerate().take(rows) {
                            *sum = sum.plus(read[*register as usize][row].minus(greatest[row]).exp());
                        }
                    }
                    for (sum, greatest) in sum.iter_mut().zip(greatest).take(rows) {
                        *sum = sum.ln().plus(greatest);
                    }
                }
            }
            let count = T::from_f64(group.len() as f64);
            for (out, sum) in out.iter_mut().zip(sum).take(rows) {
                *out = match self.op {
                    Reduction::Mean => sum.over(count),
                    Reduction::L2 => sum.sqrt(),
                    Reduction::LogSum => sum.ln(),
                    _ => sum,
                };
            }
        }
    }
}

/// Infinity less infinity is no number, so what is subtracted is finite.
fn finite<T: Real>(mut lane: Lane<T>) -> Lane<T> {
    for value in &mut lane {
        if !value.to_f64().is_finite() {
            *value = T::default();
        }
    }
    lane
}

#[derive(Debug)]
struct ReduceIntegers {
    op: Reduction,
    groups: Vec<Vec<u32>>,
    first: u32,
}

impl Step for ReduceIntegers {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let (read, written) = split::<i64>(registers, self.first);
        for (group, out) in self.groups.iter().zip(written) {
            for (row, out) in out.iter_mut().enumerate().take(rows) {
                let numbers = group.iter().map(|register| read[*register as usize][row]);
                *out = match self.op {
                    Reduction::Max => numbers.max().unwrap_or(0),
                    Reduction::Min => numbers.min().unwrap_or(0),
                    Reduction::Prod => numbers.fold(1, i64::wrapping_mul),
                    Reduction::SumSquare => numbers.fold(0, |sum, x| sum.wrapping_add(x.wrapping_mul(x))),
                    Reduction::L1 => numbers.fold(0, |sum, x| sum.wrapping_add(x.wrapping_abs())),
                    Reduction::Mean => numbers.fold(0i64, i64::wrapping_add) / group.len() as i64,
                    _ => numbers.fold(0, i64::wrapping_add),
                };
            }
        }
    }
}

/// Softmax and LogSoftmax.
pub fn softmax(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["axis"])?;
    let input = operation.tensor(builder, 0)?;
    let whole = operation.opset < 13;
    let axis = input.dims.axis(node.int("axis")?.unwrap_or(if whole { 1 } else { -1 }))?;
    // Before version 13 all dimensions from the axis on are one.
    let last = if whole { input.dims.rank() } else { axis + 1 };
    let axes: Vec<usize> = (axis..last).collect();
    for axis in &axes {
        input.dims.fixed_axis(*axis)?;
    }
    let log = operation.proto.op_type == "LogSoftmax";
    let groups = groups(builder, &input, &axes)?;
    let (constant, form) = (input.is_constant(), (input.element, input.cells.len()));
    let cost = 16 * form.1;
    let cells = match input.element {
        Element::Float => {
            builder.emit(constant, form, cost, |first| SoftmaxStep::<f32> { log, groups, first, kind: PhantomData })?
        }
        Element::Double => {
            builder.emit(constant, form, cost, |first| SoftmaxStep::<f64> { log, groups, first, kind: PhantomData })?
        }
        _ => return Err(format!("of {} is not supported, expected floats", input.describe())),
    };
    one(Tensor::new(input.element, input.dims.clone(), cells).with_labels(input.labels.clone()))
}

/// The registers along some axes, and the places of their cells.
type Group = Vec<(u32, usize)>;

fn groups(builder: &mut Builder, input: &Tensor, axes: &[usize]) -> Checked<Vec<Group>> {
    let kept = input.dims.list().iter().enumerate();
    let wide = Dims::new(kept.map(|(at, dim)| if axes.contains(&at) { Dim::Fixed(1) } else { *dim }).collect())?;
    let mut groups = vec![Group::new(); wide.cells()];
    let registers = builder.all_registers(input)?;
    for ((cell, register), group) in registers.into_iter().enumerate().zip(crate::dims::spread(&wide, &input.dims)) {
        groups[group].push((register, cell));
    }
    Ok(groups)
}

#[derive(Debug)]
struct SoftmaxStep<T> {
    log: bool,
    groups: Vec<Group>,
    first: u32,
    kind: PhantomData<T>,
}

impl<T: Real> Step for SoftmaxStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let (read, written) = split::<T>(registers, self.first);
        for group in &self.groups {
            let mut greatest = [T::from_f64(f64::NEG_INFINITY); LANES];
            for (register, _) in group {
                for (greatest, x) in greatest.iter_mut().zip(&read[*register as usize]).take(rows) {
                    *greatest = if *x > *greatest { *x } else { *greatest };
                }
            }
            let mut sum = [T::default(); LANES];
            for (register, cell) in group {
                let lanes = written[*cell].iter_mut().zip(&read[*register as usize]).zip(&greatest).zip(&mut sum);
                for (((share, x), greatest), sum) in lanes.take(rows) {
                    *share = x.minus(*greatest).exp();
                    *sum = sum.plus(*share);
                }
            }
            for (register, cell) in group {
                let lanes = written[*cell].iter_mut().zip(&read[*register as usize]).zip(&greatest).zip(&sum);
                for (((share, x), greatest), sum) in lanes.take(rows) {
                    *share = if self.log { x.minus(*greatest).minus(sum.ln()) } else { share.over(*sum) };
                }
            }
        }
    }
}

/// LpNormalization: each number by the size of its group.
pub fn lp_normalization(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["axis", "p"])?;
    let input = operation.tensor(builder, 0)?;
    let axis = input.dims.axis(node.int("axis")?.unwrap_or(-1))?;
    input.dims.fixed_axis(axis)?;
    let op = match node.int("p")?.unwrap_or(2) {
        1 => Reduction::L1,
        2 => Reduction::L2,
        other => return Err(format!("attribute \"p\" is {other}, expected 1 or 2")),
    };
    let size = reduced(builder, op, &input, &[axis], true)?;
    let zero = constant_like(builder, &size, 0.0)?;
    // Nothing is divided by nothing: what is all zero stays so.
    let empty = arithmetic::compared(builder, Comparison::Equal, &size, &zero)?;
    let empty = super::cast::convert(builder, &empty, size.element)?;
    let size = arithmetic::combine(builder, Binary::Add, &size, &empty)?;
    one(arithmetic::combine(builder, Binary::Div, &input, &size)?.with_labels(input.labels.clone()))
}

/// One number of the same type as a tensor's.
fn constant_like(builder: &mut Builder, tensor: &Tensor, number: f64) -> Checked<Tensor> {
    let number = Tensor::new(Element::Double, Dims::fixed(&[])?, vec![Cell::Double(number)]);
    super::cast::convert(builder, &number, tensor.element)
}

/// CumSum along an axis that does not count rows.
pub fn cumulative_sum(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 2)?;
    let node = operation.node(&["exclusive", "reverse"])?;
    for name in ["exclusive", "reverse"] {
        if node.int(name)?.unwrap_or(0) != 0 {
            return Err(format!("attribute {} is set, expected 0", shown(name)));
        }
    }
    let input = operation.tensor(builder, 0)?;
    let axis = match operation.integers(builder, 1)?.as_deref() {
        Some([axis]) => input.dims.axis(*axis)?,
        _ => return Err("does not say along which axis, expected one constant integer".to_string()),
    };
    let size = input.dims.fixed_axis(axis)?;
    let part = |place: usize| super::layout::pick(&input, axis, &[place], &[Dim::Fixed(1)]);
    let mut sums: Vec<Tensor> = Vec::with_capacity(size);
    for place in 0..size {
        let next = part(place)?;
        sums.push(match sums.last() {
            Some(sum) => arithmetic::combine(builder, Binary::Add, sum, &next)?,
            None => next,
        });
    }
    one(super::layout::join(&sums, axis as i64)?)
}
