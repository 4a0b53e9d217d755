//! MatMul and Gemm with constant weights, LinearRegressor and LinearClassifier.

use super::arithmetic;
use super::classes::class_of;
use super::elementwise::{Binary, Real};
use super::operation::{Operation, one};
use crate::builder::{Builder, matrix};
use crate::dims::{Dim, Dims, broadcast, spread};
use crate::labels::{CLASSES_MAX, Labels};
use crate::node::{Checked, Node, shown};
use crate::registers::{LANES, Lane, Registers, Step, split};
use crate::scores::Transform;
use crate::value::{Cell, Element, Tensor, Value};
use std::sync::Arc;

/// A tensor's numbers as floats, as operators of ai.onnx.ml take them: its registers, row by row.
pub fn features(builder: &mut Builder, operation: &Operation) -> Checked<Vec<u32>> {
    let input = operation.tensor(builder, 0)?;
    if !matches!(input.dims.list(), [Dim::Rows { before: 1, after: 1 }, Dim::Fixed(_)]) {
        return Err(format!(
            "input {} is {}, expected a tensor of shape [rows, features]",
            shown(operation.input(0)?),
            input.describe()
        ));
    }
    let input = super::cast::convert(builder, &input, Element::Float)?;
    builder.all_registers(&input)
}

/// Sums of a row's numbers, each with a weight: `bias[j] + x[0] * weights[0][j] + ..`, in the order of the inputs.
#[derive(Debug)]
pub struct LinearStep<T> {
    pub inputs: Vec<u32>,
    /// The weights of each sum, side by side.
    pub weights: Arc<[T]>,
    pub bias: Vec<T>,
    pub first: u32,
}

/// The most sums that are made together, and the rows.
const SUMS: usize = 4;
const CHUNK: usize = 8;

impl<T: Real> Step for LinearStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let (read, written) = split::<T>(registers, self.first);
        for (at, out) in written[..self.bias.len()].chunks_mut(SUMS).enumerate() {
            match out.len() {
                1 => self.sum::<1>(read, out, at * SUMS, rows),
                2 => self.sum::<2>(read, out, at * SUMS, rows),
                _ => self.sum::<SUMS>(read, out, at * SUMS, rows),
            }
        }
    }
}

impl<T: Real> LinearStep<T> {
    /// The sums from a place on.
    fn sum<const N: usize>(&self, read: &[Lane<T>], out: &mut [Lane<T>], from: usize, rows: usize) {
        // The last few sums take the last weights along, and drop what comes of them.
        let (size, last) = (self.inputs.len(), self.bias.len() - 1);
        let lines: [&[T]; N] = std::array::from_fn(|line| {
            let line = (from + line).min(last);
            &self.weights[line * size..(line + 1) * size]
        });
        for row in (0..rows).step_by(CHUNK) {
            let sums = sums_of(read, &self.inputs, lines, row);
            for ((out, sums), bias) in out.iter_mut().zip(sums).zip(&self.bias[from..]) {
                for (out, sum) in out[row..row + CHUNK].iter_mut().zip(sums) {
                    *out = sum.plus(*bias);
                }
            }
        }
    }
}

/// Sums of eight rows, each in the order of the inputs.
#[inline(always)]
fn sums_of<T: Real, const N: usize>(
    read: &[Lane<T>],
    inputs: &[u32],
    lines: [&[T]; N],
    from: usize,
) -> [[T; CHUNK]; N] {
    let mut sums = [[T::default(); CHUNK]; N];
    let lines = lines.map(|line| &line[..inputs.len()]);
    for (at, input) in inputs.iter().enumerate() {
        let (chunks, _) = read[*input as usize].as_chunks::<CHUNK>();
        let x = chunks[from / CHUNK];
        for (sum, line) in sums.iter_mut().zip(lines) {
            for (sum, x) in sum.iter_mut().zip(x) {
                *sum = sum.plus(x.times(line[at]));
            }
        }
    }
    sums
}

/// The sums of a list of numbers with constant weights, one list after the other.
pub fn dense(builder: &mut Builder, cells: &[Cell], weights: Arc<[f32]>, bias: Vec<f32>) -> Checked<Vec<Cell>> {
    let constant = !cells.iter().any(|cell| matches!(cell, Cell::Register(_)));
    let inputs = builder.registers(cells.iter().copied())?;
    let (form, cost) = ((Element::Float, bias.len()), bias.len().saturating_mul(inputs.len()));
    builder.emit(constant, form, cost, |first| LinearStep { inputs, weights, bias, first })
}

/// Products of a matrix of registers and another, summed in order.
#[derive(Debug)]
struct DotStep<T> {
    left: Vec<u32>,
    right: Vec<u32>,
    /// How many products a sum has.
    size: usize,
    /// How many columns the right matrix has.
    width: usize,
    first: u32,
    kind: std::marker::PhantomData<T>,
}

impl<T: Real> Step for DotStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let (read, written) = split::<T>(registers, self.first);
        let lines = self.left.chunks(self.size).flat_map(|line| (0..self.width).map(move |column| (line, column)));
        for ((line, column), out) in lines.zip(written) {
            let mut sum = [T::default(); LANES];
            for (at, x) in line.iter().enumerate() {
                let (x, y) = (&read[*x as usize], &read[self.right[at * self.width + column] as usize]);
                for ((sum, x), y) in sum[..rows].iter_mut().zip(&x[..rows]).zip(&y[..rows]) {
                    *sum = sum.plus(x.times(*y));
                }
            }
            out[..rows].copy_from_slice(&sum[..rows]);
        }
    }
}

/// MatMul of matrices.
pub fn mat_mul(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 2)?;
    operation.node(&[])?;
    let (x, y) = (operation.tensor(builder, 0)?, operation.tensor(builder, 1)?);
    one(product(builder, &x, &y)?)
}

/// Gemm: a product, scaled, and a constant.
pub fn gemm(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 3)?;
    let node = operation.node(&["alpha", "beta", "transA", "transB"])?;
    let side = |builder: &Builder, at: usize, name: &str| -> Checked<Tensor> {
        let tensor = operation.tensor(builder, at)?;
        if node.int(name)?.unwrap_or(0) == 0 { Ok(tensor) } else { flipped(&tensor) }
    };
    let (x, y) = (side(builder, 0, "transA")?, side(builder, 1, "transB")?);
    let mut result = product(builder, &x, &y)?;
    let scaled = |builder: &mut Builder, tensor: Tensor, name: &str| match node.float(name)? {
        None => Ok(tensor),
        Some(1.0) => Ok(tensor),
        Some(by) => {
            let by = Tensor::new(Element::Float, Dims::fixed(&[])?, vec![Cell::Float(by)]);
            let by = super::cast::convert(builder, &by, tensor.element)?;
            arithmetic::combine(builder, Binary::Mul, &tensor, &by)
        }
    };
    result = scaled(builder, result, "alpha")?;
    if operation.optional(2).is_some() {
        let bias = operation.tensor(builder, 2)?;
        let bias = scaled(builder, bias, "beta")?;
        result = arithmetic::combine(builder, Binary::Add, &result, &bias)?;
    }
    one(result)
}

/// A matrix with its two dimensions exchanged.
fn flipped(tensor: &Tensor) -> Checked<Tensor> {
    let [rows, columns] = *tensor.dims.list() else {
        return Err(format!("of {} is not supported, expected a matrix", tensor.describe()));
    };
    if [rows, columns].iter().any(|dim| matches!(dim, Dim::Rows { .. }) && *dim != Dim::ROWS) {
        return Err(format!("of {} is not supported, expected the rows in a dimension alone", tensor.describe()));
    }
    let (height, width) = (rows.cells(), columns.cells());
    let cells = (0..width).flat_map(|j| (0..height).map(move |i| tensor.cells[i * width + j])).collect();
    Ok(Tensor::new(tensor.element, Dims::new(vec![columns, rows])?, cells))
}

/// The product of two matrices, of lists, or of stacks of matrices.
fn product(builder: &mut Builder, x: &Tensor, y: &Tensor) -> Checked<Tensor> {
    let misfit = || format!("multiplies {} and {}, expected matrices that fit", x.describe(), y.describe());
    // A list counts as a matrix of one row on the left, and of one column on the right.
    let (left, right) = (x.dims.list(), y.dims.list());
    let (left, x_is_list) = if let [size] = left { (vec![Dim::Fixed(1), *size], true) } else { (left.to_vec(), false) };
    let (right, y_is_list) =
        if let [size] = right { (vec![*size, Dim::Fixed(1)], true) } else { (right.to_vec(), false) };
    let ([x_stack @ .., height, inner], [y_stack @ .., same, width]) = (left.as_slice(), right.as_slice()) else {
        return Err(misfit());
    };
    let (x_stack, y_stack) = (Dims::new(x_stack.to_vec())?, Dims::new(y_stack.to_vec())?);
    let Dim::Fixed(size) = *inner else {
        return Err("sums over the rows of a batch: a score would depend on other rows".to_string());
    };
    if size == 0 {
        return Err(format!("multiplies {} and {}, which have no numbers to sum", x.describe(), y.describe()));
    }
    if inner != same || x.element != y.element || size == 0 {
        return Err(misfit());
    }
    let stack = broadcast(&[&x_stack, &y_stack])?;
    let mut dims = stack.list().to_vec();
    dims.extend((!x_is_list).then_some(*height));
    dims.extend((!y_is_list).then_some(*width));
    let dims = Dims::new(dims)?;
    builder.spend(dims.cells().saturating_mul(size))?;
    let (height, width) = (height.cells(), width.cells());
    let mut cells = Vec::with_capacity(dims.cells());
    for (at_x, at_y) in spread(&x_stack, &stack).into_iter().zip(spread(&y_stack, &stack)) {
        let x_cells = &x.cells[at_x * height * size..(at_x + 1) * height * size];
        let y_cells = &y.cells[at_y * size * width..(at_y + 1) * size * width];
        cells.extend(match x.element {
            Element::Float => multiply::<f32>(builder, x_cells, y_cells, (size, width), (x.element, float))?,
            Element::Double => multiply::<f64>(builder, x_cells, y_cells, (size, width), (x.element, double))?,
            _ => return Err(misfit()),
        });
    }
    Ok(Tensor::new(x.element, dims, cells))
}

fn float(cell: &Cell) -> Option<f32> {
    if let Cell::Float(number) = cell { Some(*number) } else { None }
}

fn double(cell: &Cell) -> Option<f64> {
    if let Cell::Double(number) = cell { Some(*number) } else { None }
}

/// The product of two matrices of cells.
fn multiply<T: Real>(
    builder: &mut Builder,
    x: &[Cell],
    y: &[Cell],
    (size, width): (usize, usize),
    (element, number): (Element, fn(&Cell) -> Option<T>),
) -> Checked<Vec<Cell>> {
    let mut cells = Vec::new();
    let is_constant = |cells: &[Cell]| !cells.iter().any(|cell| matches!(cell, Cell::Register(_)));
    if is_constant(y) {
        let column = |j: usize| (0..size).filter_map(move |i| number(&y[i * width + j]));
        let weights: Arc<[T]> = (0..width).flat_map(column).collect();
        for line in x.chunks(size) {
            let inputs = builder.registers(line.iter().copied())?;
            let (weights, bias) = (weights.clone(), vec![T::default(); width]);
            let step = |first| LinearStep { inputs, weights, bias, first };
            cells.extend(builder.emit(is_constant(line), (element, width), 0, step)?);
        }
        return Ok(cells);
    }
    let left = builder.registers(x.iter().copied())?;
    let right = builder.registers(y.iter().copied())?;
    let (form, kind) = ((element, left.len() / size * width), std::marker::PhantomData::<T>);
    builder.emit(false, form, 0, |first| DotStep { left, right, size, width, first, kind })
}

/// LinearRegressor.
pub fn regressor(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["coefficients", "intercepts", "targets", "post_transform"])?;
    if Transform::read(&node)? != Transform::None {
        return Err("attribute \"post_transform\" of a regressor is not NONE, expected NONE".to_string());
    }
    let targets = match node.int("targets")?.unwrap_or(1) {
        targets @ 1.. if targets as usize <= CLASSES_MAX => targets as usize,
        other => return Err(format!("attribute \"targets\" is {other}, expected 1 to {CLASSES_MAX}")),
    };
    let inputs = features(builder, operation)?;
    let weights = coefficients(&node, "coefficients", targets * inputs.len())?;
    let bias = match node.floats("intercepts")? {
        [] => vec![0.0; targets],
        bias if bias.len() == targets => bias.to_vec(),
        bias => return Err(format!("attribute \"intercepts\" has {} entries, expected {targets}", bias.len())),
    };
    let cost = targets * inputs.len();
    let first = builder.allocate(Element::Float, targets)?;
    builder.push(cost, LinearStep { inputs, weights: weights.into(), bias, first })?;
    one(matrix(Element::Float, first, targets)?)
}

/// A list of finite floats of a length.
pub fn coefficients<'a>(node: &Node<'a>, name: &str, expected: usize) -> Checked<&'a [f32]> {
    let found = node.floats(name)?;
    if found.len() == expected {
        return Ok(found);
    }
    Err(format!("attribute \"{name}\" has {} entries, expected {expected}", found.len()))
}

/// LinearClassifier.
pub fn classifier(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let known =
        ["classlabels_ints", "classlabels_strings", "coefficients", "intercepts", "multi_class", "post_transform"];
    let node = operation.node(&known)?;
    let labels = Labels::read(&node, "classlabels_ints", "classlabels_strings")?;
    let transform = Transform::read(&node)?;
    let bias = node.floats("intercepts")?.to_vec();
    let sums = bias.len();
    // One sum for two classes: the score of the second, and that of the first from it.
    if sums != labels.len() && !(sums == 1 && labels.len() == 2) {
        return Err(format!("has {sums} intercepts for {} classes, expected as many", labels.len()));
    }
    let inputs = features(builder, operation)?;
    let weights = coefficients(&node, "coefficients", sums * inputs.len())?;
    let cost = sums * inputs.len();
    let first = builder.allocate(Element::Float, sums)?;
    builder.push(cost, LinearStep { inputs, weights: weights.into(), bias, first })?;
    class_of(builder, labels, transform, (first, sums))
}
