//! Reads TreeEnsemble of ai.onnx.ml 5 into the lists of the older operators, whose checks then hold for it as well.
//!
//! There leaves have lists of their own, and a branch says of each child whether it is one. A branch by a set of values
//! becomes a chain of equalities that share their true child.

use crate::forest::{Forest, Lists, Mode, TREE_NODES_MAX, VoteAttributes, VoteLists, build};
use crate::node::{Checked, Node, same_length};
use crate::onnx::{TensorProto, element};
use crate::value::{Numbers, constant};
use std::ops::Range;

/// The attributes of a TreeEnsemble.
pub const ATTRIBUTES: [&str; 16] = [
    "aggregate_function",
    "leaf_targetids",
    "leaf_weights",
    "membership_values",
    "n_targets",
    "nodes_falseleafs",
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_hitrates",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_splits",
    "nodes_trueleafs",
    "nodes_truenodeids",
    "post_transform",
    "tree_roots",
];

/// The names under which faults of leaves are told.
const LEAVES: VoteAttributes = VoteAttributes {
    tree_ids: "leaf_targetids",
    node_ids: "leaf_targetids",
    target_ids: "leaf_targetids",
    weights: "leaf_weights",
    weights_as_tensor: "leaf_weights",
};

/// Reads and checks the trees of a node that is fed `features` columns and votes for `targets` sums.
pub fn read(node: &Node, features: usize, targets: usize) -> Checked<Forest> {
    let file = File::read(node)?;
    let mut list = List::default();
    let mut seen = vec![false; file.modes.len()];
    for (tree, root) in (0..).zip(file.roots) {
        list.tree(&file, tree, *root, &mut seen)?;
    }
    if let Some(lost) = seen.iter().position(|seen| !seen) {
        return Err(format!("node {lost} belongs to no tree of \"tree_roots\""));
    }
    let votes = VoteLists {
        tree_ids: &list.vote_trees,
        node_ids: &list.vote_nodes,
        targets: &list.vote_targets,
        weights: list.vote_weights,
    };
    let lists = Lists {
        tree_ids: &list.trees,
        node_ids: &list.ids,
        features: &list.features,
        modes: list.modes,
        thresholds: list.thresholds,
        yes: &list.yes,
        no: &list.no,
        missing_yes: &list.missing_yes,
    };
    build(&lists, &votes, &LEAVES, (features, targets), file.is_double)
}

/// How a branch of the file decides.
#[derive(Clone, Copy)]
enum Branch {
    By(Mode),
    /// Whether the value is one of a set.
    Member,
}

/// The lists of the file, all lists of nodes of one length.
struct File<'a> {
    roots: &'a [i64],
    features: &'a [i64],
    modes: Vec<Branch>,
    splits: Vec<f64>,
    /// The sets of the branches by sets, in their order.
    sets: Vec<Vec<f64>>,
    /// For each branch, where its set is.
    set_places: Vec<usize>,
    yes: &'a [i64],
    no: &'a [i64],
    yes_is_leaf: &'a [i64],
    no_is_leaf: &'a [i64],
    missing_yes: &'a [i64],
    targets: &'a [i64],
    weights: Vec<f64>,
    is_double: bool,
}

impl<'a> File<'a> {
    fn read(node: &Node<'a>) -> Checked<File<'a>> {
        let modes = modes(node)?;
        let count = modes.len();
        if count == 0 || count > TREE_NODES_MAX / 8 {
            return Err(format!("attribute \"nodes_modes\" has {count} entries, expected 1 to {}", TREE_NODES_MAX / 8));
        }
        let (splits, weights) = (reals(node, "nodes_splits")?, reals(node, "leaf_weights")?);
        let ints = |name: &str| -> Checked<&'a [i64]> {
            let list = node.ints(name)?;
            same_length(name, list.len(), count, "nodes_modes").map(|()| list)
        };
        let file = File {
            roots: node.ints("tree_roots")?,
            features: ints("nodes_featureids")?,
            set_places: set_places(&modes),
            modes,
            splits,
            sets: sets(&reals(node, "membership_values")?),
            yes: ints("nodes_truenodeids")?,
            no: ints("nodes_falsenodeids")?,
            yes_is_leaf: ints("nodes_trueleafs")?,
            no_is_leaf: ints("nodes_falseleafs")?,
            missing_yes: node.ints("nodes_missing_value_tracks_true")?,
            targets: node.ints("leaf_targetids")?,
            weights,
            is_double: node.tensor("nodes_splits")?.is_some_and(|tensor| tensor.data_type == element::DOUBLE),
        };
        same_length("nodes_splits", file.splits.len(), count, "nodes_modes")?;
        same_length("leaf_weights", file.weights.len(), file.targets.len(), "leaf_targetids")?;
        if !file.missing_yes.is_empty() {
            same_length("nodes_missing_value_tracks_true", file.missing_yes.len(), count, "nodes_modes")?;
        }
        let members = file.modes.iter().filter(|mode| matches!(mode, Branch::Member)).count();
        if members != file.sets.len() || file.sets.iter().any(Vec::is_empty) {
            let found = file.sets.len();
            return Err(format!(
                "attribute \"membership_values\" has {found} sets, expected {members} with a value each"
            ));
        }
        Ok(file)
    }

    /// A child of a branch: whether it is a leaf, and its number.
    fn child(&self, at: usize, side: &str) -> Checked<(bool, usize)> {
        let (ids, leaves) = if side == "true" { (self.yes, self.yes_is_leaf) } else { (self.no, self.no_is_leaf) };
        let is_leaf = match leaves[at] {
            0 => false,
            1 => true,
            other => return Err(format!("\"nodes_{side}leafs\" of node {at} is {other}, expected 0 or 1")),
        };
        let (kind, count) = if is_leaf { ("leaf", self.targets.len()) } else { ("node", self.modes.len()) };
        match usize::try_from(ids[at]).ok().filter(|id| *id < count) {
            Some(id) => Ok((is_leaf, id)),
            None => Err(format!("node {at}: {side} child {} is no {kind}, expected 0 to {count} exclusive", ids[at])),
        }
    }
}

/// The lists as the older operators have them, while they grow.
#[derive(Default)]
struct List {
    trees: Vec<i64>,
    ids: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<Option<Mode>>,
    thresholds: Vec<f64>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing_yes: Vec<i64>,
    vote_trees: Vec<i64>,
    vote_nodes: Vec<i64>,
    vote_targets: Vec<i64>,
    vote_weights: Vec<f64>,
}

/// A node or a leaf that is yet to be put down.
struct Open {
    is_leaf: bool,
    at: usize,
    /// The entries of the list that lead to it.
    parents: Range<usize>,
    /// From which of their sides.
    is_yes: bool,
}

impl List {
    /// Appends a tree from its root on. A branch is one node of the list, or several in a row; each is called after its
    /// place there.
    fn tree(&mut self, file: &File, tree: i64, root: i64, seen: &mut [bool]) -> Checked<()> {
        let count = file.modes.len();
        let root = usize::try_from(root).ok().filter(|root| *root < count);
        let root = root.ok_or_else(|| format!("tree {tree}: its root is no node, expected 0 to {count} exclusive"))?;
        let mut open = vec![Open { is_leaf: false, at: root, parents: 0..0, is_yes: true }];
        while let Some(Open { is_leaf, at, parents, is_yes }) = open.pop() {
            let here = self.ids.len() as i64;
            let side = if is_yes { &mut self.yes } else { &mut self.no };
            side[parents].fill(here);
            if is_leaf {
                self.leaf(tree, file.targets[at], file.weights[at]);
                continue;
            }
            if std::mem::replace(&mut seen[at], true) {
                return Err(format!("tree {tree}: node {at} is reached twice, expected trees"));
            }
            let entries = self.branch(file, tree, at)?;
            let (is_leaf, at_yes) = file.child(at, "true")?;
            open.push(Open { is_leaf, at: at_yes, parents: entries.clone(), is_yes: true });
            let (is_leaf, at_no) = file.child(at, "false")?;
            open.push(Open { is_leaf, at: at_no, parents: entries.end - 1..entries.end, is_yes: false });
        }
        Ok(())
    }

    /// Appends the equalities of a set, or the one comparison of another branch; those of a chain lead on to the next.
    fn branch(&mut self, file: &File, tree: i64, at: usize) -> Checked<Range<usize>> {
        let from = self.ids.len();
        let own = [file.splits[at]];
        let (mode, thresholds) = match file.modes[at] {
            Branch::By(mode) => (mode, own.as_slice()),
            Branch::Member => (Mode::Equal, file.sets[file.set_places[at]].as_slice()),
        };
        if thresholds.iter().any(|threshold| threshold.is_nan()) {
            return Err(format!("attribute \"nodes_splits\": entry {at} is NaN, expected a number"));
        }
        for threshold in thresholds {
            let next = self.ids.len() as i64 + 1;
            self.entry(tree, Some(mode));
            if let (Some(feature), Some(found), Some(no), Some(missing)) =
                (self.features.last_mut(), self.thresholds.last_mut(), self.no.last_mut(), self.missing_yes.last_mut())
            {
                *feature = file.features[at];
                *found = *threshold;
                *no = next;
                *missing = file.missing_yes.get(at).copied().unwrap_or(0);
            }
        }
        if self.ids.len() > TREE_NODES_MAX {
            return Err(format!("the trees have more than {TREE_NODES_MAX} nodes"));
        }
        Ok(from..self.ids.len())
    }

    fn leaf(&mut self, tree: i64, target: i64, weight: f64) {
        self.vote_trees.push(tree);
        self.vote_nodes.push(self.ids.len() as i64);
        self.vote_targets.push(target);
        self.vote_weights.push(weight);
        self.entry(tree, None);
    }

    fn entry(&mut self, tree: i64, mode: Option<Mode>) {
        self.trees.push(tree);
        self.ids.push(self.ids.len() as i64);
        self.modes.push(mode);
        self.thresholds.push(0.0);
        for list in [&mut self.features, &mut self.yes, &mut self.no, &mut self.missing_yes] {
            list.push(0);
        }
    }
}

/// A tensor of floats or doubles; empty if it is not there.
fn reals(node: &Node, name: &str) -> Checked<Vec<f64>> {
    let Some(tensor) = node.tensor(name)? else { return Ok(Vec::new()) };
    match constant(tensor).map_err(|fault| format!("attribute \"{name}\": {fault}"))? {
        (_, _, Numbers::Floats(numbers)) => Ok(numbers.into_iter().map(f64::from).collect()),
        (_, _, Numbers::Doubles(numbers)) => Ok(numbers),
        (element, _, _) => Err(format!("attribute \"{name}\" is of {}, expected float or double", element.name())),
    }
}

/// The sets of values, each of which ends with NaN or with the list.
fn sets(values: &[f64]) -> Vec<Vec<f64>> {
    let mut sets: Vec<Vec<f64>> = values.split(|value| value.is_nan()).map(<[f64]>::to_vec).collect();
    if sets.last().is_some_and(Vec::is_empty) {
        sets.pop();
    }
    sets
}

fn set_places(modes: &[Branch]) -> Vec<usize> {
    let place = |count: &mut usize, mode: &Branch| {
        let place = *count;
        *count += usize::from(matches!(mode, Branch::Member));
        Some(place)
    };
    modes.iter().scan(0, place).collect()
}

fn modes(node: &Node) -> Checked<Vec<Branch>> {
    let tensor = node.tensor("nodes_modes")?.ok_or("has no attribute \"nodes_modes\"")?;
    let bytes = small_numbers(tensor)?;
    let mode = |(at, byte): (usize, i32)| {
        Ok(match byte {
            0 => Branch::By(Mode::LessOrEqual),
            1 => Branch::By(Mode::Less),
            2 => Branch::By(Mode::GreaterOrEqual),
            3 => Branch::By(Mode::Greater),
            4 => Branch::By(Mode::Equal),
            5 => Branch::By(Mode::NotEqual),
            6 => Branch::Member,
            other => return Err(format!("attribute \"nodes_modes\": entry {at} is {other}, expected 0 to 6")),
        })
    };
    bytes.into_iter().enumerate().map(mode).collect()
}

/// The numbers of a tensor of uint8.
fn small_numbers(tensor: &TensorProto) -> Checked<Vec<i32>> {
    if tensor.data_type != element::UINT8 || tensor.data_location != 0 {
        return Err("attribute \"nodes_modes\" is no tensor of uint8 in the file".to_string());
    }
    let raw = tensor.raw_data.iter().map(|byte| i32::from(*byte));
    Ok(if tensor.raw_data.is_empty() { tensor.int32_data.clone() } else { raw.collect() })
}
