//! LSTM and GRU, written out step by step: a sequence's length is known when the model is loaded.

use super::arithmetic::{apply, combine};
use super::elementwise::{Binary, Unary};
use super::linear::dense;
use super::operation::Operation;
use crate::builder::Builder;
use crate::dims::{CELLS_MAX, Dim, Dims};
use crate::node::{Checked, Node, shown};
use crate::value::{Cell, Element, Tensor, Value};
use std::sync::Arc;

/// The numbers of one step or state.
type Cells = Vec<Cell>;

/// What both kinds of layers read from their node.
struct Layer {
    rows: Dim,
    hidden: usize,
    /// The directions: whether each runs backwards.
    backwards: Vec<bool>,
    /// The inputs of each step.
    steps: Vec<Cells>,
    weights: Tensor,
    recurrence: Tensor,
    bias: Option<Tensor>,
    states: Vec<Option<Tensor>>,
}

impl Layer {
    fn read(builder: &Builder, operation: &Operation, node: &Node, gates: usize, states: &[usize]) -> Checked<Layer> {
        let backwards = match node.text("direction", "forward")? {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => return Err(format!("attribute \"direction\" is {}, expected forward", shown(other))),
        };
        if node.int("layout")?.unwrap_or(0) != 0 || node.float("clip")?.is_some() {
            return Err("has a layout or a clip, expected neither".to_string());
        }
        if operation.optional(4).is_some() {
            return Err("has lengths of sequences, expected sequences of one length".to_string());
        }
        let x = operation.tensor(builder, 0)?;
        let (weights, recurrence) = (operation.tensor(builder, 1)?, operation.tensor(builder, 2)?);
        let size = node.int("hidden_size")?.and_then(|size| usize::try_from(size).ok());
        let hidden = size.filter(|size| *size <= CELLS_MAX).unwrap_or(0);
        let [Dim::Fixed(length), rows @ (Dim::ROWS | Dim::Fixed(1)), Dim::Fixed(width)] = *x.dims.list() else {
            return Err(format!("of {} is not supported, expected [steps, rows, numbers]", x.describe()));
        };
        if length == 0 || width == 0 {
            return Err(format!("of {} has no numbers to go over", x.describe()));
        }
        let directions = backwards.len();
        let fits = weights.dims == Dims::fixed(&[directions, gates * hidden, width])?
            && recurrence.dims == Dims::fixed(&[directions, gates * hidden, hidden])?;
        if !fits || hidden == 0 || x.element != Element::Float || !weights.is_constant() || !recurrence.is_constant() {
            return Err(format!("has weights {} and {}, which do not fit", weights.describe(), recurrence.describe()));
        }
        let bias = operation.optional(3).map(|name| builder.tensor(name)).transpose()?;
        if bias.as_ref().is_some_and(|bias| bias.cells.len() != directions * 2 * gates * hidden || !bias.is_constant())
        {
            return Err("has a bias that does not fit".to_string());
        }
        let state = |at: &usize| operation.optional(*at).map(|name| builder.tensor(name)).transpose();
        let states: Vec<Option<Tensor>> = states.iter().map(state).collect::<Checked<_>>()?;
        if states.iter().flatten().any(|state| state.cells.len() != directions * hidden) {
            return Err("begins with a state that does not fit".to_string());
        }
        let steps = x.cells.chunks(width.max(1)).take(length).map(<[Cell]>::to_vec).collect();
        Ok(Layer { rows, hidden, backwards, steps, weights, recurrence, bias, states })
    }

    /// The numbers of a constant for one direction.
    fn part(&self, tensor: &Tensor, direction: usize) -> Vec<f32> {
        let size = tensor.cells.len() / self.backwards.len();
        let number = |cell: &Cell| if let Cell::Float(number) = cell { *number } else { 0.0 };
        tensor.cells[direction * size..(direction + 1) * size].iter().map(number).collect()
    }

    /// The bias of the inputs and that of the recurrence, for one direction.
    fn biases(&self, direction: usize, gates: usize) -> (Vec<f32>, Vec<f32>) {
        let size = gates * self.hidden;
        match &self.bias {
            Some(bias) => {
                let mut both = self.part(bias, direction);
                let second = both.split_off(size);
                (both, second)
            }
            None => (vec![0.0; size], vec![0.0; size]),
        }
    }

    fn state(&self, at: usize, direction: usize) -> Cells {
        match &self.states[at] {
            Some(state) => state.cells[direction * self.hidden..(direction + 1) * self.hidden].to_vec(),
            None => vec![Cell::Float(0.0); self.hidden],
        }
    }

    /// The outputs: all steps, and the last states.
    fn outputs(&self, all: &[Vec<Cells>], last: &[Vec<Cells>]) -> Checked<Vec<Value>> {
        let (directions, hidden) = (Dim::Fixed(self.backwards.len()), Dim::Fixed(self.hidden));
        let steps = Dims::new(vec![Dim::Fixed(self.steps.len()), directions, self.rows, hidden])?;
        let order =
            (0..self.steps.len()).flat_map(|step| all.iter().flat_map(move |direction| direction[step].clone()));
        let mut values = vec![Value::Tensor(Tensor::new(Element::Float, steps, order.collect()))];
        for state in last {
            let dims = Dims::new(vec![directions, self.rows, hidden])?;
            values.push(Value::Tensor(Tensor::new(Element::Float, dims, state.concat())));
        }
        Ok(values)
    }
}

fn list(cells: Cells) -> Checked<Tensor> {
    Ok(Tensor::new(Element::Float, Dims::fixed(&[cells.len()])?, cells))
}

/// A calculation on two lists of numbers.
fn with(builder: &mut Builder, op: Binary, x: &[Cell], y: &[Cell]) -> Checked<Cells> {
    let result = combine(builder, op, &list(x.to_vec())?, &list(y.to_vec())?)?;
    Ok(result.cells.to_vec())
}

fn each(builder: &mut Builder, op: Unary, x: &[Cell]) -> Checked<Cells> {
    Ok(apply(builder, op, &list(x.to_vec())?)?.cells.to_vec())
}

/// The rows of two matrices side by side.
fn beside(left: &[f32], right: &[f32], rows: usize) -> Arc<[f32]> {
    let (left, right) = (left.chunks(left.len() / rows), right.chunks(right.len() / rows));
    left.zip(right).flat_map(|(left, right)| [left, right].concat()).collect()
}

const KNOWN: [&str; 9] = [
    "activation_alpha",
    "activation_beta",
    "activations",
    "clip",
    "direction",
    "hidden_size",
    "input_forget",
    "layout",
    "linear_before_reset",
];

/// Refuses activations other than those of the books.
fn expect_activations(node: &Node, expected: &[&str]) -> Checked<()> {
    let found = node.texts("activations")?;
    if found.chunks(expected.len()).all(|part| part.iter().zip(expected).all(|(x, y)| x.eq_ignore_ascii_case(y))) {
        return Ok(());
    }
    Err(format!("has activations {}, expected {}", shown(&found.join(", ")), expected.join(", ")))
}

/// LSTM. Its gates are in the order input, output, forget, cell.
pub fn lstm(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(3, 8)?;
    let node = operation.node(&KNOWN)?;
    expect_activations(&node, &["Sigmoid", "Tanh", "Tanh"])?;
    if operation.optional(7).is_some() || node.int("input_forget")?.unwrap_or(0) != 0 {
        return Err("has peepholes or coupled gates, expected neither".to_string());
    }
    let layer = Layer::read(builder, operation, &node, 4, &[5, 6])?;
    let (mut all, mut last) = (Vec::new(), vec![Vec::new(), Vec::new()]);
    for (direction, backwards) in layer.backwards.iter().enumerate() {
        let weights = layer.part(&layer.weights, direction);
        let weights = beside(&weights, &layer.part(&layer.recurrence, direction), 4 * layer.hidden);
        let (first, second) = layer.biases(direction, 4);
        let bias: Vec<f32> = first.iter().zip(second).map(|(first, second)| first + second).collect();
        let (mut h, mut c) = (layer.state(0, direction), layer.state(1, direction));
        let mut outputs = vec![Cells::new(); layer.steps.len()];
        let order: Vec<usize> = match backwards {
            false => (0..layer.steps.len()).collect(),
            true => (0..layer.steps.len()).rev().collect(),
        };
        for step in order {
            let inputs = [layer.steps[step].as_slice(), &h].concat();
            let gates = dense(builder, &inputs, weights.clone(), bias.clone())?;
            let (gates, candidate) = gates.split_at(3 * layer.hidden);
            let (gates, candidate) = (each(builder, Unary::Sigmoid, gates)?, each(builder, Unary::Tanh, candidate)?);
            let [input, output, forget] = [0, 1, 2].map(|at| &gates[at * layer.hidden..(at + 1) * layer.hidden]);
            let kept = with(builder, Binary::Mul, forget, &c)?;
            let added = with(builder, Binary::Mul, input, &candidate)?;
            c = with(builder, Binary::Add, &kept, &added)?;
            let shown = each(builder, Unary::Tanh, &c)?;
            h = with(builder, Binary::Mul, output, &shown)?;
            outputs[step] = h.clone();
        }
        all.push(outputs);
        last[0].push(h);
        last[1].push(c);
    }
    layer.outputs(&all, &last)
}

/// GRU. Its gates are in the order update, reset, hidden.
pub fn gru(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(3, 6)?;
    let node = operation.node(&KNOWN)?;
    expect_activations(&node, &["Sigmoid", "Tanh"])?;
    let reset_after = node.int("linear_before_reset")?.unwrap_or(0) != 0;
    let layer = Layer::read(builder, operation, &node, 3, &[5])?;
    let (mut all, mut last) = (Vec::new(), vec![Vec::new()]);
    for (direction, backwards) in layer.backwards.iter().enumerate() {
        let cell = GruCell::new(&layer, direction, reset_after);
        let mut h = layer.state(0, direction);
        let mut outputs = vec![Cells::new(); layer.steps.len()];
        let order: Vec<usize> = match backwards {
            false => (0..layer.steps.len()).collect(),
            true => (0..layer.steps.len()).rev().collect(),
        };
        for step in order {
            h = cell.step(builder, &layer.steps[step], &h)?;
            outputs[step] = h.clone();
        }
        all.push(outputs);
        last[0].push(h);
    }
    layer.outputs(&all, &last)
}

/// The weights of one direction of a GRU.
struct GruCell {
    hidden: usize,
    reset_after: bool,
    /// Those of update and reset, on the inputs and the state side by side.
    gates: (Arc<[f32]>, Vec<f32>),
    input: (Arc<[f32]>, Vec<f32>),
    recurrence: (Arc<[f32]>, Vec<f32>),
}

impl GruCell {
    fn new(layer: &Layer, direction: usize, reset_after: bool) -> GruCell {
        let hidden = layer.hidden;
        let mut weights = layer.part(&layer.weights, direction);
        let mut recurrence = layer.part(&layer.recurrence, direction);
        let (mut first, mut second) = layer.biases(direction, 3);
        let (candidate, candidate_r) =
            (weights.split_off(weights.len() / 3 * 2), recurrence.split_off(recurrence.len() / 3 * 2));
        let (bias, bias_r) = (first.split_off(2 * hidden), second.split_off(2 * hidden));
        let gates = first.iter().zip(second).map(|(first, second)| first + second).collect();
        GruCell {
            hidden,
            reset_after,
            gates: (beside(&weights, &recurrence, 2 * hidden), gates),
            input: (candidate.into(), bias),
            recurrence: (candidate_r.into(), bias_r),
        }
    }

    fn step(&self, builder: &mut Builder, x: &[Cell], h: &[Cell]) -> Checked<Cells> {
        let gates = dense(builder, &[x, h].concat(), self.gates.0.clone(), self.gates.1.clone())?;
        let gates = each(builder, Unary::Sigmoid, &gates)?;
        let (update, reset) = gates.split_at(self.hidden);
        let input = dense(builder, x, self.input.0.clone(), self.input.1.clone())?;
        let recurrent =
            |builder: &mut Builder, h: &[Cell]| dense(builder, h, self.recurrence.0.clone(), self.recurrence.1.clone());
        let carried = if self.reset_after {
            let carried = recurrent(builder, h)?;
            with(builder, Binary::Mul, reset, &carried)?
        } else {
            let carried = with(builder, Binary::Mul, reset, h)?;
            recurrent(builder, &carried)?
        };
        let candidate = with(builder, Binary::Add, &input, &carried)?;
        let candidate = each(builder, Unary::Tanh, &candidate)?;
        let ones = vec![Cell::Float(1.0); self.hidden];
        let rest = with(builder, Binary::Sub, &ones, update)?;
        let fresh = with(builder, Binary::Mul, &rest, &candidate)?;
        let kept = with(builder, Binary::Mul, update, h)?;
        with(builder, Binary::Add, &fresh, &kept)
    }
}
