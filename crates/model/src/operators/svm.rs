//! SVMClassifier and SVMRegressor.

use super::classes::class_values;
use super::linear::{LinearStep, coefficients, features};
use super::operation::{Operation, one};
use crate::builder::{Builder, matrix};
use crate::labels::Labels;
use crate::math::{self, logistic};
use crate::node::{Checked, Node, shown};
use crate::registers::{LANES, Registers, Step};
use crate::scores::{Transform, greatest};
use crate::value::{Element, Value};
use std::sync::Arc;

/// How alike a row and a support vector are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kernel {
    Linear,
    Poly { gamma: f32, coef0: f32, degree: f32 },
    Rbf { gamma: f32 },
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Kernel {
    fn read(node: &Node) -> Checked<Kernel> {
        let (gamma, coef0, degree) = match node.floats("kernel_params")? {
            [] => (0.0, 0.0, 0.0),
            [gamma, coef0, degree] => (*gamma, *coef0, *degree),
            list => return Err(format!("attribute \"kernel_params\" has {} entries, expected 3", list.len())),
        };
        Ok(match node.text("kernel_type", "LINEAR")? {
            "LINEAR" => Kernel::Linear,
            "POLY" => Kernel::Poly { gamma, coef0, degree },
            "RBF" => Kernel::Rbf { gamma },
            "SIGMOID" => Kernel::Sigmoid { gamma, coef0 },
            other => {
                let other = shown(other);
                return Err(format!("attribute \"kernel_type\" is {other}, expected LINEAR, POLY, RBF or SIGMOID"));
            }
        })
    }

    fn finish(self, sum: f32) -> f32 {
        match self {
            Kernel::Linear => sum,
            Kernel::Poly { gamma, coef0, degree } => {
                let x = gamma * sum + coef0;
                if degree == 2.0 {
                    x * x
                } else if degree == 3.0 {
                    x * x * x
                } else {
                    libm::powf(x, degree)
                }
            }
            Kernel::Rbf { gamma } => math::exp(-gamma * sum),
            Kernel::Sigmoid { gamma, coef0 } => math::tanh(gamma * sum + coef0),
        }
    }
}

/// The support vectors and the likeness of a block of rows to each.
#[derive(Debug)]
struct Vectors {
    kernel: Kernel,
    inputs: Vec<u32>,
    /// Vector after vector.
    vectors: Vec<f32>,
}

impl Vectors {
    fn count(&self) -> usize {
        self.vectors.len() / self.inputs.len().max(1)
    }

    /// Calls back for each vector in order with the likeness of each row.
    fn each(&self, registers: &Registers, rows: usize, mut found: impl FnMut(usize, &[f32])) {
        for (at, vector) in self.vectors.chunks(self.inputs.len().max(1)).enumerate() {
            let mut sum = [0.0f32; LANES];
            for (input, weight) in self.inputs.iter().zip(vector) {
                let x = &registers.floats[*input as usize];
                for (sum, x) in sum[..rows].iter_mut().zip(&x[..rows]) {
                    *sum += match self.kernel {
                        Kernel::Rbf { .. } => (x - weight) * (x - weight),
                        _ => x * weight,
                    };
                }
            }
            for sum in &mut sum[..rows] {
                *sum = self.kernel.finish(*sum);
            }
            found(at, &sum[..rows]);
        }
    }
}

/// SVMRegressor, which also tells outliers (`one_class`).
pub fn regressor(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let known = [
        "coefficients",
        "kernel_params",
        "kernel_type",
        "n_supports",
        "one_class",
        "post_transform",
        "rho",
        "support_vectors",
    ];
    let node = operation.node(&known)?;
    if Transform::read(&node)? != Transform::None {
        return Err("attribute \"post_transform\" of a regressor is not NONE, expected NONE".to_string());
    }
    let kernel = Kernel::read(&node)?;
    let inputs = features(builder, operation)?;
    let one_class = node.int("one_class")?.unwrap_or(0) != 0;
    let [rho] = *coefficients(&node, "rho", 1)? else { return Err("has no rho".to_string()) };
    let supports = node.int("n_supports")?.unwrap_or(0);
    let (vectors, weights) = match usize::try_from(supports) {
        Ok(0) => {
            let weights = coefficients(&node, "coefficients", inputs.len())?;
            (None, weights.to_vec())
        }
        Ok(count) if count <= 1 << 20 => {
            let vectors = coefficients(&node, "support_vectors", count * inputs.len())?.to_vec();
            let vectors = Vectors { kernel, inputs: inputs.clone(), vectors };
            (Some(vectors), coefficients(&node, "coefficients", count)?.to_vec())
        }
        _ => return Err(format!("attribute \"n_supports\" is {supports}, expected 0 to {}", 1 << 20)),
    };
    let score = builder.allocate(Element::Float, 1)?;
    match vectors {
        None => {
            let cost = inputs.len();
            builder.push(cost, LinearStep { inputs, weights: weights.into(), bias: vec![rho], first: score })?;
        }
        Some(vectors) => {
            let cost = vectors.vectors.len() + 16 * vectors.count();
            builder.push(cost, RegressionStep { vectors, weights, rho, score })?;
        }
    }
    let output = matrix(Element::Float, score, 1)?;
    if !one_class {
        return one(output);
    }
    let first = builder.allocate(Element::Float, 1)?;
    builder.push(1, SideStep { score, first })?;
    one(matrix(Element::Float, first, 1)?)
}

#[derive(Debug)]
struct RegressionStep {
    vectors: Vectors,
    weights: Vec<f32>,
    rho: f32,
    score: u32,
}

impl Step for RegressionStep {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let mut sum = [0.0f32; LANES];
        self.vectors.each(registers, rows, |at, likeness| {
            for (sum, likeness) in sum.iter_mut().zip(likeness) {
                *sum += self.weights[at] * likeness;
            }
        });
        for (out, sum) in registers.floats[self.score as usize].iter_mut().zip(sum).take(rows) {
            *out = sum + self.rho;
        }
    }
}

/// On which side of zero a score is.
#[derive(Debug)]
struct SideStep {
    score: u32,
    first: u32,
}

impl Step for SideStep {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let score = registers.floats[self.score as usize];
        for (row, out) in registers.floats[self.first as usize].iter_mut().enumerate().take(rows) {
            *out = if score[row] > 0.0 { 1.0 } else { -1.0 };
            if score[row].is_nan() {
                registers.failed.insert(row);
            }
        }
    }
}

const CLASSIFIER: [&str; 11] = [
    "classlabels_ints",
    "classlabels_strings",
    "coefficients",
    "kernel_params",
    "kernel_type",
    "post_transform",
    "prob_a",
    "prob_b",
    "rho",
    "support_vectors",
    "vectors_per_class",
];

/// SVMClassifier with support vectors; one without them is a LinearClassifier.
pub fn classifier(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&CLASSIFIER)?;
    let labels = Labels::read(&node, "classlabels_ints", "classlabels_strings")?;
    let transform = Transform::read(&node)?;
    let inputs = features(builder, operation)?;
    let classes = labels.len();
    let per_class: Vec<usize> = node
        .ints("vectors_per_class")?
        .iter()
        .map(|count| usize::try_from(*count).ok().filter(|count| *count <= 1 << 20))
        .collect::<Option<_>>()
        .ok_or("attribute \"vectors_per_class\" has a count out of range")?;
    if per_class.len() != classes || !(2..=256).contains(&classes) {
        return Err(format!(
            "has {classes} classes and {} counts of support vectors, expected 2 to 256 and as many",
            per_class.len()
        ));
    }
    let count: usize = per_class.iter().sum();
    let pairs = classes * (classes - 1) / 2;
    let vectors = coefficients(&node, "support_vectors", count * inputs.len())?.to_vec();
    let weights = coefficients(&node, "coefficients", count * (classes - 1))?.to_vec();
    let rho = coefficients(&node, "rho", pairs)?.to_vec();
    let probability = match (node.floats("prob_a")?, node.floats("prob_b")?) {
        ([], []) => None,
        _ => Some((coefficients(&node, "prob_a", pairs)?.to_vec(), coefficients(&node, "prob_b", pairs)?.to_vec())),
    };
    let is_of_pairs = probability.is_none() && classes > 2;
    let width = if is_of_pairs { pairs } else { classes };
    let machine = Machine {
        vectors: Vectors { kernel: Kernel::read(&node)?, inputs, vectors },
        per_class,
        weights,
        rho,
        probability,
        transform,
        codes: builder.label_codes(&labels),
        scores: builder.allocate(Element::Float, width)?,
        label: builder.allocate(Element::Int64, 1)?,
    };
    let (scores, label) = (machine.scores, machine.label);
    let iterations = if machine.probability.is_some() { 100 * classes * classes } else { 0 };
    let cost = machine.vectors.vectors.len() + (16 + classes) * count + iterations;
    builder.push(cost, machine)?;
    let mut values = class_values(labels, label, matrix(Element::Float, scores, width)?)?;
    if let (true, Some(Value::Tensor(scores))) = (is_of_pairs, values.get_mut(1)) {
        scores.labels = None;
    }
    Ok(values)
}

/// A machine for each pair of classes.
#[derive(Debug)]
struct Machine {
    vectors: Vectors,
    per_class: Vec<usize>,
    /// For each class but one, a weight for each vector.
    weights: Vec<f32>,
    rho: Vec<f32>,
    probability: Option<(Vec<f32>, Vec<f32>)>,
    transform: Transform,
    codes: Arc<[i64]>,
    scores: u32,
    label: u32,
}

impl Step for Machine {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let count = self.vectors.count();
        let mut likeness = vec![0.0f32; LANES * count];
        self.vectors.each(registers, rows, |at, found| likeness[at * LANES..at * LANES + rows].copy_from_slice(found));
        for row in 0..rows {
            let decisions = self.decisions(|vector| likeness[vector * LANES + row]);
            let (class, scores) = self.answer(&decisions);
            if scores.iter().any(|score| score.is_nan()) {
                registers.failed.insert(row);
            }
            for (at, score) in scores.iter().enumerate() {
                registers.floats[self.scores as usize + at][row] = *score;
            }
            registers.ints[self.label as usize][row] = self.codes[class];
        }
    }
}

impl Machine {
    /// What each pair's machine says: positive for the first class.
    fn decisions(&self, likeness: impl Fn(usize) -> f32) -> Vec<f32> {
        let starts: Vec<usize> = self
            .per_class
            .iter()
            .scan(0, |next, count| {
                let start = *next;
                *next += count;
                Some(start)
            })
            .collect();
        let (classes, count) = (self.per_class.len(), self.vectors.count());
        let part = |class: usize, weights: usize| -> f64 {
            let vectors = starts[class]..starts[class] + self.per_class[class];
            vectors.map(|at| f64::from(self.weights[weights * count + at] * likeness(at))).sum()
        };
        let mut decisions = Vec::with_capacity(self.rho.len());
        for first in 0..classes {
            for second in first + 1..classes {
                let rho = f64::from(self.rho[decisions.len()]);
                decisions.push((part(first, second - 1) + part(second, first) + rho) as f32);
            }
        }
        decisions
    }

    /// The class of a row and its scores.
    fn answer(&self, decisions: &[f32]) -> (usize, Vec<f32>) {
        let classes = self.per_class.len();
        let mut votes = vec![0.0f32; classes];
        let pairs = (0..classes).flat_map(|first| (first + 1..classes).map(move |second| (first, second)));
        for ((first, second), decision) in pairs.zip(decisions) {
            votes[if *decision > 0.0 { first } else { second }] += 1.0;
        }
        let voted = greatest(&votes);
        match &self.probability {
            Some((a, b)) => {
                let mut scores = probabilities(classes, decisions, a, b);
                self.transform.apply(&mut scores);
                (voted, scores)
            }
            None if classes == 2 => {
                let score = decisions[0];
                let scores = match self.transform {
                    Transform::None => vec![-score, score],
                    Transform::Logistic => vec![1.0 - logistic(score), logistic(score)],
                    Transform::Softmax | Transform::SoftmaxZero => vec![1.0 - score, score],
                };
                (voted, scores)
            }
            None => {
                let mut scores = decisions.to_vec();
                self.transform.apply(&mut scores);
                (voted, scores)
            }
        }
    }
}

/// Probabilities of classes from what each pair's machine says, by the second method of Wu, Lin and Weng (2004).
fn probabilities(classes: usize, decisions: &[f32], a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut wins = vec![vec![0.0f32; classes]; classes];
    let pairs = (0..classes).flat_map(|first| (first + 1..classes).map(move |second| (first, second)));
    for (at, (first, second)) in pairs.enumerate() {
        let share = 1.0 - logistic(decisions[at] * a[at] + b[at]);
        let share = share.clamp(1e-7, 1.0 - 1e-7);
        wins[first][second] = share;
        wins[second][first] = 1.0 - share;
    }
    let q = |i: usize, j: usize| match i == j {
        true => (0..classes).filter(|k| *k != i).map(|k| wins[k][i] * wins[k][i]).sum::<f32>(),
        false => -wins[j][i] * wins[i][j],
    };
    let q: Vec<Vec<f32>> = (0..classes).map(|i| (0..classes).map(|j| q(i, j)).collect()).collect();
    couple(&q)
}

/// Finds the probabilities that least contradict the pairs, by coordinate descent.
fn couple(q: &[Vec<f32>]) -> Vec<f32> {
    const ROUNDS_MAX: usize = 100;
    let classes = q.len();
    let tolerance = 0.005 / classes as f32;
    let mut p = vec![1.0 / classes as f32; classes];
    for _ in 0..ROUNDS_MAX {
        let mut qp: Vec<f32> = q.iter().map(|row| row.iter().zip(&p).map(|(q, p)| q * p).sum()).collect();
        let mut pqp: f32 = p.iter().zip(&qp).map(|(p, qp)| p * qp).sum();
        if qp.iter().all(|qp| (qp - pqp).abs() < tolerance) {
            break;
        }
        for i in 0..classes {
            let step = (pqp - qp[i]) / q[i][i];
            p[i] += step;
            pqp = (pqp + step * (step * q[i][i] + 2.0 * qp[i])) / (1.0 + step) / (1.0 + step);
            for j in 0..classes {
                qp[j] = (qp[j] + step * q[i][j]) / (1.0 + step);
                p[j] /= 1.0 + step;
            }
        }
    }
    p
}
