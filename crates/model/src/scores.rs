//! From the sums of classes to scores, as all classifiers of ai.onnx.ml do it.

use crate::math::{exp, logistic};
use crate::node::{Checked, Node, shown};
use crate::registers::{LANES, Lane};

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

impl Transform {
    /// Applies it to the scores of a block of rows, a lane for each class: the same bits as row by row.
    pub fn apply_lanes(self, scores: &mut [Lane<f32>]) {
        match self {
            Transform::None => {}
            Transform::Logistic => scores.iter_mut().flatten().for_each(|score| *score = logistic(*score)),
            Transform::Softmax => softmax_lanes(scores),
            Transform::SoftmaxZero => {
                let mut row_scores = vec![0.0; scores.len()];
                for row in 0..LANES {
                    row_scores.iter_mut().zip(scores.iter()).for_each(|(score, lane)| *score = lane[row]);
                    softmax_zero(&mut row_scores);
                    row_scores.iter().zip(scores.iter_mut()).for_each(|(score, lane)| lane[row] = *score);
                }
            }
        }
    }
}

fn softmax_lanes(scores: &mut [Lane<f32>]) {
    let (mut greatest, mut sum) = ([f32::MIN; LANES], [0.0; LANES]);
    for lane in scores.iter() {
        greatest.iter_mut().zip(lane).for_each(|(greatest, score)| *greatest = greatest.max(*score));
    }
    for lane in scores.iter_mut() {
        for ((score, greatest), sum) in lane.iter_mut().zip(&greatest).zip(&mut sum) {
            *score = exp(*score - *greatest);
            *sum += *score;
        }
    }
    for lane in scores {
        lane.iter_mut().zip(&sum).for_each(|(score, sum)| *score /= *sum);
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

#[cfg(test)]
mod tests {
    use super::{LANES, Transform};
    use proptest::prelude::*;

    fn score() -> impl Strategy<Value = f32> {
        prop_oneof![
            8 => -30.0f32..30.0,
            1 => prop::sample::select(vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30]),
        ]
    }

    proptest! {
           #[test]
           fn a_block_of_rows_gets_the_bits_that_each_row_gets(
               lanes in prop::collection::vec(prop::array::uniform32(score()), 1..5)
           ) {
               let wide = |lane: &[f32; 32]| std::array::from_fn::<f32, LANES, _>(|row| lane[row % 32]);
               for transform in
    [Transform::None, Transform::Logistic, Transform::Softmax, Transform::SoftmaxZero] {
                   let mut together: Vec<[f32; LANES]> = lanes.iter().map(wide).collect();
                   transform.apply_lanes(&mut together);
                   for row in 0..LANES {
                       let mut alone: Vec<f32> = lanes.iter().map(|lane| lane[row % 32]).collect();
                       transform.apply(&mut alone);
                       let bits = |score: f32| if score.is_nan() { 0 } else { score.to_bits() };
                       let found: Vec<u32> = together.iter().map(|lane| bits(lane[row])).collect();
                       prop_assert_eq!(found, alone.into_iter().map(bits).collect::<Vec<_>>());
                   }
               }
           }
       }
}
