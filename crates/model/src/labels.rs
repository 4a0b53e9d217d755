//! The names of a classifier's classes.

use crate::node::{Checked, Node, shown};

/// The most classes or targets of a model.
pub const CLASSES_MAX: usize = 4096;

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
        if labels.len() > CLASSES_MAX {
            return Err(format!("has {} class labels, expected at most {CLASSES_MAX}", labels.len()));
        }
        let mut sorted = labels.texts();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(twice) => Err(format!("class label {} is there twice", shown(&twice[0]))),
            None => Ok(labels),
        }
    }
}
