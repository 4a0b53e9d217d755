//! From the sums of a linear classifier to its class and the scores of all classes, 64 rows at a time.

use crate::builder::{Builder, matrix};
use crate::dims::{Dim, Dims};
use crate::labels::Labels;
use crate::math::logistic;
use crate::node::Checked;
use crate::registers::{LANES, Lane, Registers, Step};
use crate::scores::Transform;
use crate::value::{Cell, Element, Tensor, Value};
use std::sync::Arc;

/// A label and its scores.
pub fn class_values(labels: Labels, label: u32, scores: Tensor) -> Checked<Vec<Value>> {
    let element = if matches!(labels, Labels::Ints(_)) { Element::Int64 } else { Element::Text };
    let labels = Arc::new(labels);
    let label = Tensor::new(element, Dims::new(vec![Dim::ROWS])?, vec![Cell::Register(label)]);
    let labels = Some(labels);
    Ok(vec![Value::Tensor(label.with_labels(labels.clone())), Value::Tensor(scores.with_labels(labels))])
}

/// The class and the scores of sums, which lie in registers side by side: one for each class, or one for two.
pub fn class_of(
    builder: &mut Builder,
    labels: Labels,
    transform: Transform,
    (first, sums): (u32, usize),
) -> Checked<Vec<Value>> {
    let codes = builder.label_codes(&labels);
    let width = labels.len();
    let scores = builder.allocate(Element::Float, width)?;
    let label = builder.allocate(Element::Int64, 1)?;
    builder.push(
        16 * width,
        ClassStep { sums: first, scores, label, codes, transform, single: sums == 1 && width == 2 },
    )?;
    class_values(labels, label, matrix(Element::Float, scores, width)?)
}

/// The class with the greatest sum, and the sums as scores.
#[derive(Debug)]
struct ClassStep {
    sums: u32,
    scores: u32,
    label: u32,
    codes: Arc<[i64]>,
    transform: Transform,
    /// Whether one sum stands for two classes.
    single: bool,
}

impl Step for ClassStep {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let Registers { floats, ints, failed, .. } = registers;
        let (read, written) = floats.split_at_mut(self.scores as usize);
        let scores = &mut written[..self.codes.len()];
        let sums = &read[self.sums as usize..];
        let classes = if self.single { self.pair(&sums[0], scores) } else { self.all(sums, scores) };
        for lane in scores.iter() {
            for row in (0..rows).filter(|row| lane[*row].is_nan()) {
                failed.insert(row);
            }
        }
        for (label, class) in ints[self.label as usize][..rows].iter_mut().zip(classes) {
            *label = self.codes[class as usize];
        }
    }
}

impl ClassStep {
    /// The scores of two classes from the sum of the second.
    fn pair(&self, sum: &Lane<f32>, scores: &mut [Lane<f32>]) -> Lane<u32> {
        let [first, second] = scores else { return [0; LANES] };
        for ((first, second), sum) in first.iter_mut().zip(second).zip(sum) {
            *second = if self.transform == Transform::Logistic { logistic(*sum) } else { *sum };
            *first = 1.0 - *second;
        }
        sum.map(|sum| u32::from(sum > 0.0))
    }

    /// The scores of all classes; the first of those with the greatest sum counts.
    fn all(&self, sums: &[Lane<f32>], scores: &mut [Lane<f32>]) -> Lane<u32> {
        let (mut best, mut classes) = (sums[0], [0; LANES]);
        for (class, (score, sum)) in (0..).zip(scores.iter_mut().zip(sums)) {
            *score = *sum;
            for ((best, found), sum) in best.iter_mut().zip(&mut classes).zip(sum) {
                let better = *sum > *best;
                *best = if better { *sum } else { *best };
                *found = if better { class } else { *found };
            }
        }
        self.transform.apply_lanes(scores);
        classes
    }
}
