//! Turns the sums of a row's votes into what the model answers: values, or a class and its probability.

use crate::forest::{CLASS_VOTES, Forest, NODE_ATTRIBUTES, TARGET_VOTES, read};
use crate::node::{Checked, Node, shown};

/// The names of a classifier's classes, in the order of its scores.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Labels {
    /// How many classes there are.
    pub fn len(&self) -> usize {
        match self {
            Labels::Ints(labels) => labels.len(),
            Labels::Texts(labels) => labels.len(),
        }
    }

    /// The labels as text, as SQL names them.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Labels::Ints(labels) => labels.iter().map(i64::to_string).collect(),
            Labels::Texts(labels) => labels.clone(),
        }
    }

    /// Reads the labels of a node from the two attributes that can hold them.
    pub fn read(node: &Node, ints: &str, texts: &str) -> Checked<Labels> {
        let (int_labels, text_labels) = (node.ints(ints)?, node.texts(texts)?);
        let labels = match (int_labels.is_empty(), text_labels.is_empty()) {
            (false, true) => Labels::Ints(int_labels.to_vec()),
            (true, false) => Labels::Texts(text_labels.iter().map(ToString::to_string).collect()),
            _ => {
                return Err(format!(
                    "has {} {ints} and {} {texts}, expected one of them",
                    int_labels.len(),
                    text_labels.len()
                ));
            }
        };
        let mut sorted = labels.texts();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(twice) => Err(format!("class label {} is there twice", shown(&twice[0]))),
            None => Ok(labels),
        }
    }
}

/// What is applied to a class's score.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Transform {
    None,
    Logistic,
    Softmax,
}

impl Transform {
    fn read(node: &Node) -> Checked<Transform> {
        match node.text("post_transform", "NONE")? {
            "NONE" => Ok(Transform::None),
            "LOGISTIC" => Ok(Transform::Logistic),
            "SOFTMAX" => Ok(Transform::Softmax),
            other => {
                Err(format!("attribute \"post_transform\" is {}, expected NONE, LOGISTIC or SOFTMAX", shown(other)))
            }
        }
    }
}

/// How sums become scores.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// A regressor: one value per target.
    Values { base: Vec<f32>, divisor: f32 },
    /// Two classes from one sum: the score of the second class, and that of the first from it.
    Pair { base: f32, logistic: bool, shares: bool },
    /// One sum per class.
    /// `voted` tells which classes can be a row's class: those with a vote anywhere or a base value.
    Classes { base: Vec<f32>, voted: Vec<bool>, logistic: bool, softmax: bool },
}

/// A tree ensemble as a node describes it.
pub struct Ensemble {
    pub forest: Forest,
    pub aggregate: Aggregate,
    /// The classes; none for a regressor.
    pub labels: Option<Labels>,
}

impl Ensemble {
    /// Reads and checks a TreeEnsembleRegressor that is fed `features` columns.
    pub fn regressor(node: &Node, features: usize) -> Checked<Ensemble> {
        let targets = match node.int("n_targets")? {
            Some(count @ 1..=TARGETS_MAX) => count as usize,
            None => 1,
            Some(other) => return Err(format!("attribute \"n_targets\" is {other}, expected 1 to {TARGETS_MAX}")),
        };
        if Transform::read(node)? != Transform::None {
            return Err("attribute \"post_transform\" of a regressor is not NONE, expected NONE".to_string());
        }
        let forest = read(node, &TARGET_VOTES, features, targets)?;
        let divisor = match node.text("aggregate_function", "SUM")? {
            "SUM" => 1.0,
            "AVERAGE" => forest.trees.len() as f32,
            other => {
                let other = shown(other);
                return Err(format!("attribute \"aggregate_function\" is {other}, expected SUM or AVERAGE"));
            }
        };
        let base = base_values(node, &[0, targets])?;
        Ok(Ensemble { forest, aggregate: Aggregate::Values { base, divisor }, labels: None })
    }

    /// Reads and checks a TreeEnsembleClassifier that is fed `features` columns.
    pub fn classifier(node: &Node, features: usize) -> Checked<Ensemble> {
        let labels = Labels::read(node, "classlabels_int64s", "classlabels_strings")?;
        let classes = labels.len();
        if classes < 2 || classes as i64 > TARGETS_MAX {
            return Err(format!("has {classes} class labels, expected 2 to {TARGETS_MAX}"));
        }
        let transform = Transform::read(node)?;
        let mut forest = read(node, &CLASS_VOTES, features, classes)?;
        let (logistic, softmax) = (transform == Transform::Logistic, transform == Transform::Softmax);
        let aggregate = if classes == 2 {
            if let Some(other) = forest.votes.iter().find(|vote| vote.target != 0) {
                return Err(format!(
                    "has two classes and a vote with class id {}, expected 0 in all: the score of one class is the \
                     other's complement (objective binary:logistic exports it so)",
                    other.target
                ));
            }
            if softmax {
                return Err(
                    "attribute \"post_transform\" is SOFTMAX for two classes with one score, expected LOGISTIC or NONE"
                        .to_string(),
                );
            }
            forest.targets = 1;
            let base = base_values(node, &[0, 1])?.first().copied().unwrap_or(0.0);
            let shares = forest.votes.iter().all(|vote| vote.weight >= 0.0);
            Aggregate::Pair { base, logistic, shares }
        } else {
            let base = base_values(node, &[0, classes])?;
            let mut voted = vec![!base.is_empty(); classes];
            forest.votes.iter().for_each(|vote| voted[vote.target as usize] = true);
            Aggregate::Classes { base, voted, logistic, softmax }
        };
        Ok(Ensemble { forest, aggregate, labels: Some(labels) })
    }
}

/// The most targets or classes of an ensemble.
const TARGETS_MAX: i64 = 4096;

/// The attributes that a classifier may have.
pub fn classifier_attributes() -> Vec<&'static str> {
    let votes = [CLASS_VOTES.tree_ids, CLASS_VOTES.node_ids, CLASS_VOTES.target_ids, CLASS_VOTES.weights];
    let own = ["classlabels_int64s", "classlabels_strings", "base_values", "post_transform"];
    [NODE_ATTRIBUTES.as_slice(), &votes, &own].concat()
}

/// The attributes that a regressor may have.
pub fn regressor_attributes() -> Vec<&'static str> {
    let votes = [TARGET_VOTES.tree_ids, TARGET_VOTES.node_ids, TARGET_VOTES.target_ids, TARGET_VOTES.weights];
    let own = ["n_targets", "aggregate_function", "base_values", "post_transform"];
    [NODE_ATTRIBUTES.as_slice(), &votes, &own].concat()
}

fn base_values(node: &Node, lengths: &[usize]) -> Checked<Vec<f32>> {
    let base = node.floats("base_values")?;
    if lengths.contains(&base.len()) {
        return Ok(base.to_vec());
    }
    let lengths: Vec<String> = lengths.iter().map(usize::to_string).collect();
    Err(format!("attribute \"base_values\" has {} entries, expected {}", base.len(), lengths.join(" or ")))
}

impl Aggregate {
    /// How many scores a row has.
    pub fn scores(&self, targets: usize) -> usize {
        match self {
            Aggregate::Pair { .. } => 2,
            _ => targets,
        }
    }

    /// Turns one row's sums into its scores, and returns the index of its class (0 for a regressor): the one with the
    /// greatest score, the first of equal ones.
    pub fn finish(&self, sums: &mut [f32], scores: &mut [f32]) -> usize {
        match self {
            Aggregate::Values { base, divisor } => {
                for (at, sum) in sums.iter().enumerate() {
                    scores[at] = sum / divisor + base.get(at).copied().unwrap_or(0.0);
                }
                0
            }
            Aggregate::Pair { base, logistic: with_logistic, shares } => {
                let sum = sums[0] + base;
                let (first, second) = match (with_logistic, shares) {
                    (true, _) => (logistic(-sum), logistic(sum)),
                    // Votes that are all shares of one: a random forest.
                    (false, true) => (1.0 - sum, sum),
                    (false, false) => (-sum, sum),
                };
                scores.copy_from_slice(&[first, second]);
                let cut = if *shares && !with_logistic { 0.5 } else { 0.0 };
                usize::from(sum > cut)
            }
            Aggregate::Classes { base, voted, logistic: with_logistic, softmax: with_softmax } => {
                for (at, base) in base.iter().enumerate() {
                    sums[at] += base;
                }
                let class = greatest(sums, voted);
                scores.copy_from_slice(sums);
                if *with_logistic {
                    scores.iter_mut().for_each(|score| *score = logistic(*score));
                } else if *with_softmax {
                    softmax(scores);
                }
                class
            }
        }
    }
}

/// The first of the greatest sums of classes that are voted for.
fn greatest(sums: &[f32], voted: &[bool]) -> usize {
    let mut best: Option<usize> = None;
    for at in (0..sums.len()).filter(|&at| voted[at]) {
        if best.is_none_or(|best| sums[at] > sums[best]) {
            best = Some(at);
        }
    }
    best.unwrap_or(0)
}

/// The logistic function, computed from the side on which it does not overflow.
fn logistic(value: f32) -> f32 {
    let share = 1.0 / (1.0 + (-value.abs()).exp());
    if value < 0.0 { 1.0 - share } else { share }
}

fn softmax(scores: &mut [f32]) {
    let greatest = scores.iter().copied().fold(f32::MIN, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - greatest).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}
