//! Share work: operators that compute the same of the same rows become one.
//!
//! Only operators on which no row fails are shared: a bad row is counted, and written, once for each operator that it
//! fails on. Windows of one key over the same rows become one operator, with one log for all of their functions.

use super::rewrite::{Rebuilt, without_idle_nodes};
use crate::bind::Columns;
use crate::expression::{ColumnId, Place, Problem, Tree, print};
use crate::plan::logical::{LogicalNode, LogicalPlan, Operator, RangeAggregate, Score, WindowFunction};
use std::collections::HashMap;
use std::fmt::Write;

pub(super) fn apply(plan: &LogicalPlan) -> Result<(LogicalPlan, usize), Problem> {
    let mut share = Share { rebuilt: Rebuilt::of(plan), same: HashMap::new(), known: HashMap::new(), times: 0 };
    for node in &plan.nodes {
        share.node(node)?;
    }
    Ok((without_idle_nodes(share.rebuilt.plan), share.times))
}

struct Share {
    rebuilt: Rebuilt,
    /// Columns by those that hold the same.
    same: HashMap<ColumnId, ColumnId>,
    /// Nodes by what they compute.
    known: HashMap<String, usize>,
    times: usize,
}

impl Share {
    fn node(&mut self, old: &LogicalNode) -> Result<(), Problem> {
        let mut node = old.clone();
        node.inputs = self.rebuilt.inputs(&node.inputs);
        self.with_same_columns(&mut node.operator)?;
        let text = computes(&node, &self.rebuilt.plan.columns);
        let at = match text.as_ref().and_then(|text| self.known.get(text).copied()) {
            Some(first) => {
                self.join(first, &node);
                self.times += 1;
                first
            }
            None => self.rebuilt.add(node),
        };
        self.known.extend(text.map(|text| (text, at)));
        self.rebuilt.is(at);
        Ok(())
    }

    fn with_same_columns(&self, operator: &mut Operator) -> Result<(), Problem> {
        if self.same.is_empty() {
            return Ok(());
        }
        let columns = &self.rebuilt.plan.columns;
        let of = |id: ColumnId| self.same.get(&id).copied();
        operator.map_trees(&mut |tree: &Tree| {
            tree.with_columns(&|id| of(id).map(|id| Tree::column(id, columns.get(id).data_type.clone())))
        })?;
        operator.map_columns(&|id| of(id).unwrap_or(id));
        // A projection passes a column on under its own id.
        if let Operator::Project(all) = operator {
            for column in all {
                column.id = of(column.id).unwrap_or(column.id);
            }
        }
        Ok(())
    }

    /// Lets the first of two equal nodes stand for the other as well.
    fn join(&mut self, first: usize, other: &LogicalNode) {
        let into = &mut self.rebuilt.plan.nodes[first];
        // Which of them was planned first says nothing.
        if other.name < into.name {
            into.name.clone_from(&other.name);
        }
        let pairs: Vec<(ColumnId, ColumnId)> = match (&mut into.operator, &other.operator) {
            (Operator::Window { functions, .. }, Operator::Window { functions: others, .. }) => {
                others.iter().filter_map(|other| with_function(functions, other)).collect()
            }
            (Operator::Project(all), Operator::Project(others)) => {
                others.iter().zip(all).map(|(other, known)| (other.id, known.id)).collect()
            }
            (Operator::AsOf(join), Operator::AsOf(other)) => {
                other.columns.iter().zip(&join.columns).map(|((other, ..), (known, ..))| (*other, *known)).collect()
            }
            (Operator::Range(range), Operator::Range(other)) => {
                other.functions.iter().zip(&range.functions).map(|(other, known)| (other.id, known.id)).collect()
            }
            (Operator::Predict(scores), Operator::Predict(others)) => {
                scores.iter_mut().zip(others).flat_map(|(score, other)| with_parts(score, other)).collect()
            }
            _ => vec![],
        };
        self.same.extend(pairs.into_iter().filter(|(other, known)| other != known));
    }
}

/// Finds a function among others, or adds it: which id stands for which.
fn with_function(functions: &mut Vec<WindowFunction>, other: &WindowFunction) -> Option<(ColumnId, ColumnId)> {
    let same = |known: &&WindowFunction| WindowFunction { id: other.id, ..(*known).clone() } == *other;
    match functions.iter().find(same) {
        Some(known) => Some((other.id, known.id)),
        None => {
            functions.push(other.clone());
            None
        }
    }
}

/// Finds what is asked of a score among what is asked of an equal one, or adds it: which ids stand for which.
fn with_parts(score: &mut Score, other: &Score) -> Vec<(ColumnId, ColumnId)> {
    let mut pairs = Vec::new();
    for (part, id) in &other.columns {
        match score.columns.iter().find(|(known, _)| known == part) {
            Some((_, known)) => pairs.push((*id, *known)),
            None => score.columns.push((*part, *id)),
        }
    }
    pairs
}

/// What a node computes of which rows; `None` for those that are not shared. Windows are equal as soon as their keys
/// are, and scores as soon as their models and inputs are.
fn computes(node: &LogicalNode, columns: &Columns) -> Option<String> {
    if node.operator.can_fail(columns) {
        return None;
    }
    let mut text = format!("{:?} ", node.inputs);
    let tree = |tree: &Tree| {
        print(tree, &|place| match place {
            Place::Column(ColumnId(id)) => format!("#{id}"),
            beside => beside.name().to_owned(),
        })
    };
    // Writing to a String cannot fail.
    let _ = match &node.operator {
        Operator::Dedup { keys, within } => write!(text, "dedup {keys:?} {within:?}"),
        Operator::Filter(condition) => write!(text, "filter {}", tree(condition)),
        Operator::Project(all) => {
            let all: Vec<String> =
                all.iter().map(|column| format!("{:?} {}", column.name, tree(&column.tree))).collect();
            write!(text, "project {}", all.join(", "))
        }
        Operator::Window { keys, .. } => write!(text, "window {keys:?}"),
        Operator::AsOf(join) => {
            let columns: Vec<(&str, ColumnId)> = join.columns.iter().map(|(_, name, id)| (&**name, *id)).collect();
            write!(text, "as of {:?} {columns:?} {:?} {} {}", join.keys, join.behind, join.strict, join.inner)
        }
        Operator::Range(range) => {
            let of = |f: &RangeAggregate| (f.computes, f.argument, f.filter, f.from, f.to);
            let functions: Vec<_> = range.functions.iter().map(of).collect();
            write!(text, "range {:?} {functions:?}", range.keys)
        }
        Operator::Predict(scores) => {
            let of = |score: &Score| {
                let inputs: Vec<String> = score.inputs.iter().map(tree).collect();
                format!("{} {} ({})", score.model, score.scorer.version(), inputs.join(", "))
            };
            write!(text, "predict {}", scores.iter().map(of).collect::<Vec<_>>().join("; "))
        }
        Operator::Source { .. }
        | Operator::Zip(_)
        | Operator::Decision(_)
        | Operator::Acted
        | Operator::Sink { .. } => return None,
    };
    Some(text)
}
