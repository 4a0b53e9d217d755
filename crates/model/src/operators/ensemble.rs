//! TreeEnsembleClassifier and TreeEnsembleRegressor, and TreeEnsemble, which is both.

use super::classes::class_values;
use super::operation::{Operation, one};
use crate::aggregate::{Aggregate, Ensemble, classifier_attributes, regressor_attributes};
use crate::builder::{Builder, matrix};
use crate::dims::Dim;
use crate::layout::BLOCK_ROWS;
use crate::node::{Checked, shown};
use crate::registers::{Registers, Step, Walked};
use crate::tree_ensemble;
use crate::trees::Trees;
use crate::value::{Element, Tensor, Value};
use std::sync::Arc;

/// A tree ensemble that votes for classes.
pub fn classifier(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&classifier_attributes())?;
    let input = input(builder, operation)?;
    let ensemble = Ensemble::classifier(&node, input.cells.len())?;
    add(builder, &input, ensemble)
}

/// A tree ensemble that sums values.
pub fn regressor(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&regressor_attributes())?;
    let input = input(builder, operation)?;
    let ensemble = Ensemble::regressor(&node, input.cells.len())?;
    add(builder, &input, ensemble)
}

/// A tree ensemble of either kind, whose leaves have lists of their own.
pub fn ensemble(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&tree_ensemble::ATTRIBUTES)?;
    let input = input(builder, operation)?;
    let ensemble = Ensemble::of_targets(&node, input.cells.len())?;
    match add(builder, &input, ensemble)?.as_slice() {
        [Value::Tensor(scores)] => one(super::cast::convert(builder, scores, input.element)?),
        values => Ok(values.to_vec()),
    }
}

/// The features, as doubles where they are doubles and as floats else.
fn input(builder: &mut Builder, operation: &Operation) -> Checked<Tensor> {
    let name = operation.input(0)?;
    let input = operation.tensor(builder, 0)?;
    if !matches!(input.dims.list(), [Dim::Rows { before: 1, after: 1 }, Dim::Fixed(1..)]) {
        return Err(format!(
            "input {} is {}, expected a tensor of shape [rows, features]",
            shown(name),
            input.describe()
        ));
    }
    match input.element {
        Element::Double => Ok(input),
        _ => super::cast::convert(builder, &input, Element::Float),
    }
}

fn add(builder: &mut Builder, input: &Tensor, ensemble: Ensemble) -> Checked<Vec<Value>> {
    let Ensemble { forest, aggregate, labels } = ensemble;
    let steps: usize = forest.trees.iter().map(|tree| tree.depth + 1).sum();
    let scores = aggregate.scores(forest.targets);
    let cost = 2 * steps + 16 * scores;
    let codes: Arc<[i64]> = match &labels {
        Some(labels) => builder.label_codes(labels),
        None => [].into(),
    };
    let first = builder.allocate(Element::Float, scores)?;
    let label = builder.allocate(Element::Int64, 1)?;
    let outputs = Outputs { scores: first, label, codes };
    if forest.is_double || input.element == Element::Double {
        let input = super::cast::convert(builder, input, Element::Double)?;
        let inputs = builder.all_registers(&input)?;
        let trees: Trees<f64> = Trees::new(&forest);
        builder.fit(&trees)?;
        builder.push(cost, EnsembleStep { trees, aggregate, inputs, outputs })?;
    } else {
        let inputs = builder.all_registers(input)?;
        let trees: Trees<f32> = Trees::new(&forest);
        builder.fit(&trees)?;
        builder.push(cost, EnsembleStep { trees, aggregate, inputs, outputs })?;
    }
    let scores = matrix(Element::Float, first, scores)?;
    match labels {
        Some(labels) => class_values(labels, label, scores),
        None => one(scores),
    }
}

#[derive(Debug)]
struct Outputs {
    scores: u32,
    label: u32,
    /// The label of each class; none for a regressor.
    codes: Arc<[i64]>,
}

#[derive(Debug)]
struct EnsembleStep<T: Walked> {
    trees: Trees<T>,
    aggregate: Aggregate,
    inputs: Vec<u32>,
    outputs: Outputs,
}

impl<T: Walked> Step for EnsembleStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let mut block = std::mem::take(T::block(registers));
        let file = T::file(registers);
        let columns = self.inputs.iter().map(|input| file[*input as usize].as_slice());
        self.trees.fill(&mut block, columns, rows);
        self.trees.sum(&mut block);
        self.finish(&block.sums, registers, rows);
        *T::block(registers) = block;
    }
}

impl<T: Walked> EnsembleStep<T> {
    fn finish(&self, sums: &[T], registers: &mut Registers, rows: usize) {
        let targets = self.trees.targets();
        let mut row_sums = vec![T::ZERO; targets];
        let mut row_scores = vec![0.0; self.aggregate.scores(targets)];
        let first = self.outputs.scores as usize;
        for row in 0..rows {
            for (target, sum) in row_sums.iter_mut().enumerate() {
                *sum = sums[target * BLOCK_ROWS + row];
            }
            let class = self.aggregate.finish(&mut row_sums, &mut row_scores);
            for (at, score) in row_scores.iter().enumerate() {
                registers.floats[first + at][row] = *score;
            }
            let Some(code) = self.outputs.codes.get(class) else { continue };
            registers.ints[self.outputs.label as usize][row] = *code;
            if row_scores.iter().any(|score| score.is_nan()) {
                registers.failed.insert(row);
            }
        }
    }
}
