//! Turns the sums of a row's votes into what an ensemble answers: values, or a class and its scores.

use crate::forest::{CLASS_VOTES, Forest, Gathering, NODE_ATTRIBUTES, TARGET_VOTES, read, reals};
use crate::labels::{CLASSES_MAX, Labels};
use crate::math::logistic;
use crate::node::{Checked, Node, shown};
use crate::scores::{Transform, greatest_of};
use crate::threshold::Threshold;
use crate::tree_ensemble;

/// How sums become scores.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// A regressor: one value per target.
    Values { base: Vec<f64>, divisor: f64 },
    /// Two classes from one sum: the score of the second class, and that of the first from it.
    Pair { base: f64, logistic: bool, shares: bool },
    /// One sum per class.
    /// `voted` tells which classes can be a row's class: those with a vote anywhere or a base value.
    Classes { base: Vec<f64>, voted: Vec<bool>, transform: Transform },
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
            Some(count) if (1..=CLASSES_MAX as i64).contains(&count) => count as usize,
            None => 1,
            Some(other) => return Err(format!("attribute \"n_targets\" is {other}, expected 1 to {CLASSES_MAX}")),
        };
        if Transform::read(node)? != Transform::None {
            return Err("attribute \"post_transform\" of a regressor is not NONE, expected NONE".to_string());
        }
        let mut forest = read(node, &TARGET_VOTES, features, targets)?;
        let mut divisor = 1.0;
        match node.text("aggregate_function", "SUM")? {
            "SUM" => {}
            "AVERAGE" => divisor = forest.trees.len() as f64,
            "MIN" => forest.gathering = Gathering::Least,
            "MAX" => forest.gathering = Gathering::Greatest,
            other => {
                let other = shown(other);
                return Err(format!("attribute \"aggregate_function\" is {other}, expected SUM, AVERAGE, MIN or MAX"));
            }
        };
        let base = base_values(node, &[0, targets])?;
        Ok(Ensemble { forest, aggregate: Aggregate::Values { base, divisor }, labels: None })
    }

    /// Reads and checks a TreeEnsemble of ai.onnx.ml 5 that is fed `features` columns.
    pub fn of_targets(node: &Node, features: usize) -> Checked<Ensemble> {
        let targets = match node.int("n_targets")? {
            Some(count) if (1..=CLASSES_MAX as i64).contains(&count) => count as usize,
            other => {
                let found = other.map_or("missing".to_string(), |other| other.to_string());
                return Err(format!("attribute \"n_targets\" is {found}, expected 1 to {CLASSES_MAX}"));
            }
        };
        let transform = match node.int("post_transform")?.unwrap_or(0) {
            0 => Transform::None,
            1 => Transform::Softmax,
            2 => Transform::Logistic,
            3 => Transform::SoftmaxZero,
            other => return Err(format!("attribute \"post_transform\" is {other}, expected 0 to 3")),
        };
        let mut forest = tree_ensemble::read(node, features, targets)?;
        let mut divisor = 1.0;
        match node.int("aggregate_function")?.unwrap_or(1) {
            0 if transform == Transform::None => divisor = forest.trees.len() as f64,
            1 => {}
            2 => forest.gathering = Gathering::Least,
            3 => forest.gathering = Gathering::Greatest,
            other => {
                return Err(format!(
                    "attribute \"aggregate_function\" is {other}, expected 0 to 3, and 0 only without \"post_transform\""
                ));
            }
        }
        let aggregate = match transform {
            Transform::None => Aggregate::Values { base: Vec::new(), divisor },
            _ => Aggregate::Classes { base: Vec::new(), voted: vec![true; targets], transform },
        };
        Ok(Ensemble { forest, aggregate, labels: None })
    }

    /// Reads and checks a TreeEnsembleClassifier that is fed `features` columns.
    pub fn classifier(node: &Node, features: usize) -> Checked<Ensemble> {
        let labels = Labels::read(node, "classlabels_int64s", "classlabels_strings")?;
        let classes = labels.len();
        if classes < 2 {
            return Err(format!("has {classes} class labels, expected 2 to {CLASSES_MAX}"));
        }
        let transform = Transform::read(node)?;
        let mut forest = read(node, &CLASS_VOTES, features, classes)?;
        let first = forest.votes.first().map(|vote| vote.target);
        let one_sum = classes == 2 && forest.votes.iter().all(|vote| Some(vote.target) == first);
        let aggregate = if one_sum {
            if matches!(transform, Transform::Softmax | Transform::SoftmaxZero) {
                return Err(
                    "attribute \"post_transform\" is SOFTMAX for two classes with one score, expected LOGISTIC or NONE"
                        .to_string(),
                );
            }
            // The sum is the second class's score, whichever class the votes name.
            forest.votes.iter_mut().for_each(|vote| vote.target = 0);
            forest.targets = 1;
            let base = base_values(node, &[0, 1, 2])?.last().copied().unwrap_or(0.0);
            let shares = forest.votes.iter().all(|vote| vote.weight >= 0.0);
            Aggregate::Pair { base, logistic: transform == Transform::Logistic, shares }
        } else {
            let base = base_values(node, &[0, classes])?;
            let mut voted = vec![!base.is_empty(); classes];
            forest.votes.iter().for_each(|vote| voted[vote.target as usize] = true);
            Aggregate::Classes { base, voted, transform }
        };
        Ok(Ensemble { forest, aggregate, labels: Some(labels) })
    }
}

/// The attributes that a classifier may have.
pub fn classifier_attributes() -> Vec<&'static str> {
    let names = &CLASS_VOTES;
    let votes = [names.tree_ids, names.node_ids, names.target_ids, names.weights, names.weights_as_tensor];
    let own = ["classlabels_int64s", "classlabels_strings", "base_values", "base_values_as_tensor", "post_transform"];
    [NODE_ATTRIBUTES.as_slice(), &votes, &own].concat()
}

/// The attributes that a regressor may have.
pub fn regressor_attributes() -> Vec<&'static str> {
    let names = &TARGET_VOTES;
    let votes = [names.tree_ids, names.node_ids, names.target_ids, names.weights, names.weights_as_tensor];
    let own = ["n_targets", "aggregate_function", "base_values", "base_values_as_tensor", "post_transform"];
    [NODE_ATTRIBUTES.as_slice(), &votes, &own].concat()
}

fn base_values(node: &Node, lengths: &[usize]) -> Checked<Vec<f64>> {
    let base = reals(node, "base_values", "base_values_as_tensor")?;
    if let Some(at) = base.iter().position(|base| !base.is_finite()) {
        return Err(format!("attribute \"base_values\": entry {at} is {}, expected a finite number", base[at]));
    }
    if lengths.contains(&base.len()) {
        return Ok(base);
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
    pub fn finish<T: Threshold>(&self, sums: &mut [T], scores: &mut [f32]) -> usize {
        match self {
            Aggregate::Values { base, divisor } => {
                for (at, sum) in sums.iter_mut().enumerate() {
                    if *divisor != 1.0 {
                        *sum = sum.over(T::from_f64(*divisor));
                    }
                    *sum += T::from_f64(base.get(at).copied().unwrap_or(0.0));
                    scores[at] = sum.to_f32();
                }
                0
            }
            Aggregate::Pair { base, logistic: with_logistic, shares } => {
                sums[0] += T::from_f64(*base);
                let sum = sums[0].to_f32();
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
            Aggregate::Classes { base, voted, transform } => {
                for (at, base) in base.iter().enumerate() {
                    sums[at] += T::from_f64(*base);
                }
                for (score, sum) in scores.iter_mut().zip(sums) {
                    *score = sum.to_f32();
                }
                let class = greatest_of(scores, voted);
                transform.apply(scores);
                class
            }
        }
    }
}
