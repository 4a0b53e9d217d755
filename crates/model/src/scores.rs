//! From the sums of classes to scores, as all classifiers of ai.onnx.ml do it.

use crate::math::{exp, logistic};
use crate::node::{Checked, Node, shown};

/// What is applied to scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
}

impl Transform {
    /// Reads the attribute of a node.
    pub fn read(node: &Node) -> Checked<Transform> {
        match node.text("post_transform", "NONE")? {
            "NONE" => Ok(Transform::None),
            "LOGISTIC" => Ok(Transform::Logistic),
            "SOFTMAX" => Ok(Transform::Softmax),
            "SOFTMAX_ZERO" => Ok(Transform::SoftmaxZero),
            other => Err(format!(
                "attribute \"post_transform\" is {}, expected NONE, LOGISTIC, SOFTMAX or SOFTMAX_ZERO",
                shown(other)
            )),
        }
    }

    /// Applies it to the scores of a row.
    pub fn apply(self, scores: &mut [f32]) {
        match self {
            Transform::None => {}
            Transform::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Transform::Softmax => softmax(scores),
            Transform::SoftmaxZero => softmax_zero(scores),
        }
    }
}

fn greatest_score(scores: &[f32]) -> f32 {
    scores.iter().copied().fold(f32::MIN, f32::max)
}

fn softmax(scores: &mut [f32]) {
    let greatest = greatest_score(scores);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = exp(*score - greatest);
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// Softmax in which a score of zero stays next to nothing.
fn softmax_zero(scores: &mut [f32]) {
    let greatest = greatest_score(scores);
    let least = exp(-greatest);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if score.abs() > 1e-7 {
            *score = exp(*score - greatest);
            sum += *score;
        } else {
            *score *= least;
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// The first of the greatest scores.
pub fn greatest(scores: &[f32]) -> usize {
    let mut best = 0;
    for at in 1..scores.len() {
        if scores[at] > scores[best] {
            best = at;
        }
    }
    best
}

/// The first of the greatest scores among some classes.
pub fn greatest_of(scores: &[f32], among: &[bool]) -> usize {
    let mut best: Option<usize> = None;
    for at in (0..scores.len()).filter(|&at| among[at]) {
        if best.is_none_or(|best| scores[at] > scores[best]) {
            best = Some(at);
        }
    }
    best.unwrap_or(0)
}
