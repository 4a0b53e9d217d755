//! Reads a tree ensemble's attributes into trees that are known to be trees.
//!
//! An ensemble comes as parallel lists, one entry per node and one per vote of a leaf. What leaves this module is
//! safe to walk: each tree has one root, every node is reached once, every id is in range, every number is finite.
//! Work and memory grow with the number of entries (n log n for the sort), nothing recurses.
//!
//! One kind of sharing is part of the format as exporters use it. A split by a set of categories is a chain of
//! equalities on one feature, each of which has the same true child:
//!
//! ```text
//! x == 0 --no--> x == 2 --no--> x == 5 --no--> ..
//!    `--- yes ------`--- yes ------`--- yes ---> the node that they share, a child of the first
//! ```

use crate::node::{Checked, Node, same_length, shown};
use crate::onnx::element;
use crate::value::{Numbers, constant};

/// The most branches on a path from a root to a leaf.
pub const TREE_DEPTH_MAX: usize = 1000;

/// The most nodes that an ensemble may have.
pub const TREE_NODES_MAX: usize = 1 << 24;

/// How a branch compares a feature with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// A node of a checked tree. Walks end: no node leads back to one that led to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TreeNode {
    /// Goes to `yes` where the comparison holds, or where the feature is missing and `missing_yes` is set.
    Branch { feature: u32, mode: Mode, threshold: f64, missing_yes: bool, yes: u32, no: u32 },
    /// Ends the walk; its votes are `from .. to` of [`Forest::votes`].
    Leaf { from: u32, to: u32 },
}

/// One checked tree, breadth first, its root first.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub nodes: Vec<TreeNode>,
    /// The branches on the longest path.
    pub depth: usize,
}

/// What a leaf adds to one class or target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vote {
    pub target: u32,
    pub weight: f64,
}

/// What becomes of the votes for one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gathering {
    Sum,
    Least,
    Greatest,
}

/// A checked ensemble, its trees in the file's order. Numbers are held as doubles; those that the file has as floats
/// are floats still.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    pub trees: Vec<Tree>,
    pub votes: Vec<Vote>,
    /// How many columns the trees may ask for.
    pub features: usize,
    /// How many sums the leaves vote for.
    pub targets: usize,
    pub gathering: Gathering,
    /// Whether the file has doubles.
    pub is_double: bool,
}

/// The lists that a classifier and a regressor have in common.
pub const NODE_ATTRIBUTES: [&str; 11] = [
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_modes",
    "nodes_values",
    "nodes_values_as_tensor",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
    "nodes_hitrates",
    "nodes_hitrates_as_tensor",
];

/// The names of the vote lists, which differ between classifier and regressor.
pub struct VoteAttributes {
    pub tree_ids: &'static str,
    pub node_ids: &'static str,
    pub target_ids: &'static str,
    pub weights: &'static str,
    pub weights_as_tensor: &'static str,
}

/// The names in a classifier.
pub const CLASS_VOTES: VoteAttributes = VoteAttributes {
    tree_ids: "class_treeids",
    node_ids: "class_nodeids",
    target_ids: "class_ids",
    weights: "class_weights",
    weights_as_tensor: "class_weights_as_tensor",
};

/// The names in a regressor.
pub const TARGET_VOTES: VoteAttributes = VoteAttributes {
    tree_ids: "target_treeids",
    node_ids: "target_nodeids",
    target_ids: "target_ids",
    weights: "target_weights",
    weights_as_tensor: "target_weights_as_tensor",
};

/// Reads and checks the ensemble of a node that is fed `features` columns and votes for `targets` sums.
pub fn read(node: &Node, names: &VoteAttributes, features: usize, targets: usize) -> Checked<Forest> {
    let lists = Lists::read(node)?;
    let votes = VoteLists {
        tree_ids: node.ints(names.tree_ids)?,
        node_ids: node.ints(names.node_ids)?,
        targets: node.ints(names.target_ids)?,
        weights: reals(node, names.weights, names.weights_as_tensor)?,
    };
    let is_double = [names.weights_as_tensor, "nodes_values_as_tensor"]
        .iter()
        .map(|name| Ok(node.tensor(name)?.is_some_and(|tensor| tensor.data_type == element::DOUBLE)))
        .collect::<Checked<Vec<bool>>>()?
        .contains(&true);
    build(&lists, &votes, names, (features, targets), is_double)
}

/// Makes trees of lists.
pub fn build(
    lists: &Lists,
    votes: &VoteLists,
    names: &VoteAttributes,
    (features, targets): (usize, usize),
    is_double: bool,
) -> Checked<Forest> {
    let index = Index::new(lists)?;
    let (votes, leaf_votes) = read_votes(votes, names, lists, &index, targets)?;
    let mut trees = Vec::new();
    for range in &index.trees {
        trees.push(read_tree(lists, &index.nodes[range.clone()], &leaf_votes, features)?);
    }
    Ok(Forest { trees, votes, features, targets, gathering: Gathering::Sum, is_double })
}

/// A list of numbers that are not missing, as floats or as a tensor. Infinite ones are a scikit-learn tree's way to ask
/// whether a value is there.
pub fn reals(node: &Node, name: &str, tensor_name: &str) -> Checked<Vec<f64>> {
    let (name, numbers) = match node.tensor(tensor_name)? {
        None => (name, node.any_floats(name)?.iter().copied().map(f64::from).collect()),
        Some(tensor) => {
            let wrong = |fault: String| format!("attribute \"{tensor_name}\": {fault}");
            let numbers = match constant(tensor).map_err(wrong)? {
                (_, dims, _) if dims.rank() > 1 => return Err(wrong(format!("has shape {dims}, expected a list"))),
                (_, _, Numbers::Floats(numbers)) => numbers.into_iter().map(f64::from).collect(),
                (_, _, Numbers::Doubles(numbers)) => numbers,
                (element, _, _) => return Err(wrong(format!("is of {}, expected float or double", element.name()))),
            };
            (tensor_name, numbers)
        }
    };
    match numbers.iter().position(|number: &f64| number.is_nan()) {
        Some(at) => Err(format!("attribute \"{name}\": entry {at} is NaN, expected a number")),
        None => Ok(numbers),
    }
}

/// The node lists, all of one length.
pub struct Lists<'a> {
    pub tree_ids: &'a [i64],
    pub node_ids: &'a [i64],
    pub features: &'a [i64],
    pub modes: Vec<Option<Mode>>,
    pub thresholds: Vec<f64>,
    pub yes: &'a [i64],
    pub no: &'a [i64],
    pub missing_yes: &'a [i64],
}

impl<'a> Lists<'a> {
    fn read(node: &Node<'a>) -> Checked<Self> {
        let tree_ids = node.ints("nodes_treeids")?;
        let count = tree_ids.len();
        if count == 0 || count > TREE_NODES_MAX {
            return Err(format!("attribute \"nodes_treeids\" has {count} entries, expected 1 to {TREE_NODES_MAX}"));
        }
        let modes = node.texts("nodes_modes")?;
        let lists = Lists {
            tree_ids,
            node_ids: node.ints("nodes_nodeids")?,
            features: node.ints("nodes_featureids")?,
            modes: modes.iter().enumerate().map(|(at, text)| mode(at, text)).collect::<Checked<_>>()?,
            thresholds: reals(node, "nodes_values", "nodes_values_as_tensor")?,
            yes: node.ints("nodes_truenodeids")?,
            no: node.ints("nodes_falsenodeids")?,
            missing_yes: node.ints("nodes_missing_value_tracks_true")?,
        };
        let lengths = [
            ("nodes_nodeids", lists.node_ids.len()),
            ("nodes_featureids", lists.features.len()),
            ("nodes_modes", lists.modes.len()),
            ("nodes_values", lists.thresholds.len()),
            ("nodes_truenodeids", lists.yes.len()),
            ("nodes_falsenodeids", lists.no.len()),
        ];
        for (name, length) in lengths {
            same_length(name, length, count, "nodes_treeids")?;
        }
        for (name, length) in [
            ("nodes_missing_value_tracks_true", lists.missing_yes.len()),
            ("nodes_hitrates", node.any_floats("nodes_hitrates")?.len()),
        ] {
            if length != 0 {
                same_length(name, length, count, "nodes_treeids")?;
            }
        }
        Ok(lists)
    }

    fn missing_yes(&self, at: usize) -> Checked<bool> {
        match self.missing_yes.get(at) {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(format!("\"nodes_missing_value_tracks_true\" is {other}, expected 0 or 1")),
        }
    }
}

fn mode(at: usize, text: &str) -> Checked<Option<Mode>> {
    Ok(Some(match text {
        "LEAF" => return Ok(None),
        "BRANCH_LT" => Mode::Less,
        "BRANCH_LEQ" => Mode::LessOrEqual,
        "BRANCH_GT" => Mode::Greater,
        "BRANCH_GTE" => Mode::GreaterOrEqual,
        "BRANCH_EQ" => Mode::Equal,
        "BRANCH_NEQ" => Mode::NotEqual,
        other => {
            return Err(format!(
                "attribute \"nodes_modes\": entry {at} is {}, expected LEAF or BRANCH_LT, _LEQ, _GT, _GTE, _EQ, _NEQ",
                shown(other)
            ));
        }
    }))
}

/// Where the nodes of each tree are in the lists.
struct Index {
    /// (node id, place in the lists), by tree and then by node id.
    nodes: Vec<(i64, u32)>,
    /// The part of `nodes` of each tree, in the order in which trees appear in the file.
    trees: Vec<std::ops::Range<usize>>,
    /// (tree id, its part of `nodes`), by tree id.
    by_tree: Vec<(i64, std::ops::Range<usize>)>,
}

impl Index {
    fn new(lists: &Lists) -> Checked<Self> {
        let mut keys: Vec<(i64, i64, u32)> =
            lists.tree_ids.iter().zip(lists.node_ids).zip(0..).map(|((&tree, &node), at)| (tree, node, at)).collect();
        keys.sort_unstable();
        if let Some(twice) = keys.windows(2).find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)) {
            return Err(format!("tree {} has two nodes with the id {}", twice[0].0, twice[0].1));
        }
        let nodes = keys.iter().map(|&(_, node, at)| (node, at)).collect();
        let mut by_tree = Vec::new();
        let mut first_seen = Vec::new();
        let mut from = 0;
        for run in keys.chunk_by(|a, b| a.0 == b.0) {
            let range = from..from + run.len();
            from = range.end;
            first_seen.push((run.iter().map(|key| key.2).min().unwrap_or(0), range.clone()));
            by_tree.push((run[0].0, range));
        }
        first_seen.sort_unstable_by_key(|(at, _)| *at);
        let trees = first_seen.into_iter().map(|(_, range)| range).collect();
        Ok(Index { nodes, trees, by_tree })
    }

    /// The place of a node in the lists.
    fn find(&self, tree: i64, node: i64) -> Option<usize> {
        let at = self.by_tree.binary_search_by_key(&tree, |(id, _)| *id).ok()?;
        let nodes = &self.nodes[self.by_tree[at].1.clone()];
        find_in_tree(nodes, node).map(|local| nodes[local].1 as usize)
    }
}

/// The place of a node id among a tree's nodes. Ids that count from 0 need no search.
fn find_in_tree(nodes: &[(i64, u32)], id: i64) -> Option<usize> {
    let direct = usize::try_from(id).ok()?;
    match nodes.get(direct) {
        Some(&(found, _)) if found == id => Some(direct),
        _ => nodes.binary_search_by_key(&id, |(found, _)| *found).ok(),
    }
}

/// The vote lists, before they are checked.
pub struct VoteLists<'a> {
    pub tree_ids: &'a [i64],
    pub node_ids: &'a [i64],
    pub targets: &'a [i64],
    pub weights: Vec<f64>,
}

/// All votes, those of a leaf side by side in the file's order, and for each place in the lists where its votes begin.
fn read_votes(
    votes: &VoteLists,
    names: &VoteAttributes,
    lists: &Lists,
    index: &Index,
    targets: usize,
) -> Checked<(Vec<Vote>, Vec<u32>)> {
    let VoteLists { tree_ids, node_ids, targets: target_ids, weights } = votes;
    let count = target_ids.len();
    if count == 0 || count > TREE_NODES_MAX {
        return Err(format!("attribute \"{}\" has {count} entries, expected 1 to {TREE_NODES_MAX}", names.target_ids));
    }
    same_length(names.tree_ids, tree_ids.len(), count, names.target_ids)?;
    same_length(names.node_ids, node_ids.len(), count, names.target_ids)?;
    same_length(names.weights, weights.len(), count, names.target_ids)?;
    if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(format!(
            "attribute \"{}\": entry {at} is {}, expected a finite number",
            names.weights, weights[at]
        ));
    }
    let mut places = Vec::with_capacity(count);
    for at in 0..count {
        let (tree, id, target) = (tree_ids[at], node_ids[at], target_ids[at]);
        let wrong = |what: String| format!("vote {at} of \"{}\": {what}", names.target_ids);
        let place =
            index.find(tree, id).ok_or_else(|| wrong(format!("tree {tree} has no node {id}, expected a leaf")))?;
        if lists.modes[place].is_some() {
            return Err(wrong(format!("tree {tree} node {id} is a branch, expected a leaf")));
        }
        if target < 0 || target >= targets as i64 {
            return Err(wrong(format!("id {target}, expected 0 to {}", targets - 1)));
        }
        places.push(place as u32);
    }
    let mut begins = vec![0u32; lists.modes.len() + 1];
    for &place in &places {
        begins[place as usize + 1] += 1;
    }
    for at in 1..begins.len() {
        begins[at] += begins[at - 1];
    }
    let mut next = begins.clone();
    let mut votes = vec![Vote { target: 0, weight: 0.0 }; count];
    for (at, &place) in places.iter().enumerate() {
        let slot = &mut next[place as usize];
        votes[*slot as usize] = Vote { target: target_ids[at] as u32, weight: weights[at] };
        *slot += 1;
    }
    Ok((votes, begins))
}

/// Follows a tree from its root, breadth first, and refuses what is not a tree.
fn read_tree(lists: &Lists, nodes: &[(i64, u32)], leaf_votes: &[u32], features: usize) -> Checked<Tree> {
    let tree_id = lists.tree_ids[nodes[0].1 as usize];
    let children = children(lists, tree_id, nodes)?;
    let shares = shares(lists, nodes, &children);
    let root = root(tree_id, nodes, &children, &shares)?;
    let depth = depth(root, &children, &shares);
    if depth > TREE_DEPTH_MAX {
        return Err(format!("tree {tree_id} is deeper than {TREE_DEPTH_MAX} branches"));
    }
    let mut order = vec![root];
    let mut place_of = vec![0; nodes.len()];
    let mut built = Vec::with_capacity(nodes.len());
    while built.len() < order.len() {
        let local = order[built.len()];
        let place = nodes[local].1 as usize;
        let Some(mode) = lists.modes[place] else {
            built.push(TreeNode::Leaf { from: leaf_votes[place], to: leaf_votes[place + 1] });
            continue;
        };
        let wrong = |what: String| format!("tree {tree_id} node {}: {what}", nodes[local].0);
        let feature = lists.features[place];
        if feature < 0 || feature >= features as i64 {
            return Err(wrong(format!("feature {feature}, expected 0 to {} (the input's columns)", features - 1)));
        }
        // Each node has at most one parent of its own and the root has none, so each is put in order once. A shared
        // child was put there by the first of its chain, which is further up.
        let own = children[local].iter().flat_map(|&(yes, no)| [(!shares[local]).then_some(yes), Some(no)]);
        for child in own.flatten() {
            place_of[child as usize] = order.len() as u32;
            order.push(child as usize);
        }
        let (yes, no) = children[local].unwrap_or_default();
        built.push(TreeNode::Branch {
            feature: feature as u32,
            mode,
            threshold: lists.thresholds[place],
            missing_yes: lists.missing_yes(place).map_err(wrong)?,
            yes: place_of[yes as usize],
            no: place_of[no as usize],
        });
    }
    if built.len() < nodes.len() {
        return Err(format!(
            "tree {tree_id}: {} of {} nodes are not reached from the root, they form a cycle",
            nodes.len() - built.len(),
            nodes.len()
        ));
    }
    Ok(Tree { nodes: built, depth })
}

/// The children of each branch of a tree, as places among the tree's nodes. Leaves have none.
fn children(lists: &Lists, tree_id: i64, nodes: &[(i64, u32)]) -> Checked<Vec<Option<(u32, u32)>>> {
    let mut children = Vec::with_capacity(nodes.len());
    for &(id, place) in nodes {
        let place = place as usize;
        if lists.modes[place].is_none() {
            children.push(None);
            continue;
        }
        let find = |side: &str, child: i64| {
            find_in_tree(nodes, child)
                .map(|local| local as u32)
                .ok_or_else(|| format!("tree {tree_id} node {id}: {side} child {child} is not a node of the tree"))
        };
        children.push(Some((find("true", lists.yes[place])?, find("false", lists.no[place])?)));
    }
    Ok(children)
}

/// Which branches continue a chain of equalities, and so share the true child of the branch before them.
fn shares(lists: &Lists, nodes: &[(i64, u32)], children: &[Option<(u32, u32)>]) -> Vec<bool> {
    let equality = |local: usize| {
        let place = nodes[local].1 as usize;
        (lists.modes[place] == Some(Mode::Equal)).then(|| (lists.features[place], children[local].map(|pair| pair.0)))
    };
    let mut shares = vec![false; nodes.len()];
    for (at, pair) in children.iter().enumerate() {
        let Some((_, no)) = *pair else { continue };
        let no = no as usize;
        shares[no] |= equality(at).is_some() && equality(at) == equality(no);
    }
    shares
}

/// The branches on the longest path. False children are followed first, so that all that leads to a shared node was
/// met before it.
fn depth(root: usize, children: &[Option<(u32, u32)>], shares: &[bool]) -> usize {
    let mut above = vec![0; children.len()];
    let mut greatest = 0;
    let mut stack = vec![root];
    while let Some(at) = stack.pop() {
        greatest = greatest.max(above[at]);
        let Some((yes, no)) = children[at] else { continue };
        for child in [yes as usize, no as usize] {
            above[child] = above[child].max(above[at] + 1);
        }
        if !shares[at] {
            stack.push(yes as usize);
        }
        stack.push(no as usize);
    }
    greatest
}

/// The one node without a parent. No node may have two parents, but for the branches of a chain.
fn root(tree_id: i64, nodes: &[(i64, u32)], children: &[Option<(u32, u32)>], shares: &[bool]) -> Checked<usize> {
    let mut has_parent = vec![false; nodes.len()];
    for (at, pair) in children.iter().enumerate() {
        let Some((yes, no)) = *pair else { continue };
        let own = [Some(no), (!shares[at]).then_some(yes)];
        for child in own.into_iter().flatten().map(|child| child as usize) {
            if std::mem::replace(&mut has_parent[child], true) {
                return Err(format!(
                    "tree {tree_id} node {}: child {} is a child of another branch too, expected a tree",
                    nodes[at].0, nodes[child].0
                ));
            }
        }
    }
    let mut roots = has_parent.iter().enumerate().filter(|(_, has)| !**has).map(|(at, _)| at);
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root),
        (None, _) => Err(format!("tree {tree_id} has no root: every node has a parent, so there is a cycle")),
        (Some(one), Some(two)) => {
            Err(format!("tree {tree_id} has two roots, nodes {} and {}, expected one", nodes[one].0, nodes[two].0))
        }
    }
}
