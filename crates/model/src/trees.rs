//! Walks a checked ensemble fast: the trees laid out for the cache, eight rows in step.
//!
//! Every branch is brought into one form, "left if x < threshold, else the node beside it", so that a step is two
//! loads, a comparison and an addition, and rows never wait for a mispredicted branch:
//!
//! ```text
//! x <= t   x < next float above t          x > t, x >= t   the same with the children swapped
//! x == t   x < t ? no : (x < next above t ? yes : no)      x != t   the same with the children swapped
//! missing  every feature has two columns: NaN as it is (never less: goes right), and NaN as -inf (goes left)
//! leaf     asks for the column of zeros, which is less than 1: stays where it is
//! ```
//!
//! Nodes lie breadth first and siblings side by side. Rows are taken in blocks of 64, each tree over the whole block
//! before the next, so a tree is read from memory once per block. Sums are f32 in tree order, whatever the batch is.

use crate::forest::{Forest, Mode, Tree, TreeNode, Vote};

/// The rows that pass through all trees together.
pub const BLOCK_ROWS: usize = 64;

/// The rows that a tree is walked with at a time.
const LANES: usize = 8;

/// Nodes of a tree that the narrow form can address; reading a window of that many needs no bounds checks.
const WINDOW: usize = 4096;

/// Columns that the narrow form can address.
const COLUMNS: usize = 256;

/// Steps between two looks at whether all rows have arrived, in trees deeper than that.
const STEPS: usize = 8;

/// One column of a group of rows.
type Lane = [f32; LANES];

/// A node of a tree of at most [`WINDOW`] nodes over at most [`COLUMNS`] columns.
#[derive(Clone, Copy, Debug, Default)]
struct Narrow {
    threshold: f32,
    left: u16,
    column: u16,
}

/// A node of any tree.
#[derive(Clone, Copy, Debug)]
struct Wide {
    threshold: f32,
    left: u32,
    column: u32,
}

/// Where a tree's nodes are, and what its leaves say.
#[derive(Clone, Copy, Debug)]
struct Place {
    first: u32,
    depth: u32,
    /// The one sum that all leaves of the tree vote for, once each; else the leaves' lists of votes are read.
    target: Option<u32>,
}

#[derive(Clone, Debug)]
enum Nodes {
    /// Padded at the end by a window.
    Narrow(Vec<Narrow>),
    Wide(Vec<Wide>),
}

/// An ensemble laid out for walking.
#[derive(Clone, Debug)]
pub struct Trees {
    features: usize,
    targets: usize,
    places: Vec<Place>,
    nodes: Nodes,
    /// Per node, the weight of a leaf with one vote. Padded as `nodes`.
    weights: Vec<f32>,
    /// Per node, where the votes of a leaf are; only for trees whose leaves have lists of votes.
    ranges: Vec<(u32, u32)>,
    votes: Vec<Vote>,
}

impl Trees {
    /// Lays out a checked ensemble.
    pub fn new(forest: &Forest) -> Trees {
        let mut wide = Vec::new();
        let mut leaves = Vec::new();
        let mut places = Vec::new();
        let mut largest = 0;
        for tree in &forest.trees {
            let first = wide.len();
            let depth = lay_out(tree, forest.features, &mut wide, &mut leaves);
            largest = largest.max(wide.len() - first);
            places.push(Place { first: first as u32, depth: depth as u32, target: only_target(forest, tree) });
        }
        let weights = leaves.iter().map(|&(from, to)| if to > from { forest.votes[from as usize].weight } else { 0.0 });
        let mut weights: Vec<f32> = weights.collect();
        let ranges = if places.iter().all(|place| place.target.is_some()) { Vec::new() } else { leaves };
        let narrow = largest <= WINDOW && columns(forest.features) <= COLUMNS;
        let nodes = if narrow {
            let narrow =
                |node: &Wide| Narrow { threshold: node.threshold, left: node.left as u16, column: node.column as u16 };
            let mut nodes: Vec<Narrow> = wide.iter().map(narrow).collect();
            nodes.resize(wide.len() + WINDOW, Narrow::default());
            weights.resize(wide.len() + WINDOW, 0.0);
            Nodes::Narrow(nodes)
        } else {
            Nodes::Wide(wide)
        };
        let votes = if ranges.is_empty() { Vec::new() } else { forest.votes.clone() };
        Trees { features: forest.features, targets: forest.targets, places, nodes, weights, ranges, votes }
    }

    /// How many sums a row has.
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// Makes room for the features of one block.
    pub fn block(&self, rows_max: usize) -> Block {
        let groups = rows_max.min(BLOCK_ROWS).div_ceil(LANES);
        let stride = match self.nodes {
            Nodes::Narrow(_) => COLUMNS,
            Nodes::Wide(_) => columns(self.features),
        };
        Block { lanes: vec![[0.0; LANES]; groups * stride], stride, features: self.features, rows: 0 }
    }

    /// Sums the votes for each row of the block: `sums[target * BLOCK_ROWS + row]`.
    pub fn sum(&self, block: &Block, sums: &mut [f32]) {
        sums.fill(0.0);
        match (&self.nodes, block.rows) {
            (Nodes::Narrow(nodes), 1) => self.sum_narrow::<1>(nodes, block, sums),
            (Nodes::Narrow(nodes), _) => self.sum_narrow::<LANES>(nodes, block, sums),
            (Nodes::Wide(nodes), _) => self.sum_wide(nodes, block, sums),
        }
    }

    fn sum_narrow<const ROWS: usize>(&self, nodes: &[Narrow], block: &Block, sums: &mut [f32]) {
        let groups = block.lanes.as_chunks::<COLUMNS>().0;
        let groups = &groups[..block.rows.div_ceil(LANES)];
        for place in &self.places {
            let first = place.first as usize;
            let nodes = nodes[first..].first_chunk::<WINDOW>().expect("the nodes are padded by a window");
            let weights = self.weights[first..].first_chunk::<WINDOW>().expect("the weights are padded by a window");
            for (group, lanes) in groups.iter().enumerate() {
                let at = walk_narrow::<ROWS>(nodes, lanes, place.depth as usize);
                match place.target {
                    Some(target) => {
                        let from = target as usize * BLOCK_ROWS + group * LANES;
                        let sums = &mut sums[from..from + ROWS];
                        for lane in 0..ROWS {
                            sums[lane] += weights[at[lane] as usize & (WINDOW - 1)];
                        }
                    }
                    None => {
                        for (lane, &at) in at.iter().enumerate() {
                            self.vote(first + at as usize, group * LANES + lane, sums);
                        }
                    }
                }
            }
        }
    }

    fn sum_wide(&self, nodes: &[Wide], block: &Block, sums: &mut [f32]) {
        for (place, next) in self.places.iter().zip(self.ends()) {
            let first = place.first as usize;
            for (group, lanes) in block.lanes.chunks(block.stride).take(block.rows.div_ceil(LANES)).enumerate() {
                let at = walk_wide(&nodes[first..next], lanes, place.depth as usize);
                for (lane, &at) in at.iter().enumerate() {
                    let (node, row) = (first + at as usize, group * LANES + lane);
                    match place.target {
                        Some(target) => sums[target as usize * BLOCK_ROWS + row] += self.weights[node],
                        None => self.vote(node, row, sums),
                    }
                }
            }
        }
    }

    /// Where each tree's nodes end.
    fn ends(&self) -> impl Iterator<Item = usize> {
        let firsts = self.places.iter().skip(1).map(|place| place.first as usize);
        firsts.chain(std::iter::once(self.weights.len()))
    }

    /// Adds all votes of a leaf to a row.
    fn vote(&self, node: usize, row: usize, sums: &mut [f32]) {
        let (from, to) = self.ranges[node];
        for vote in &self.votes[from as usize..to as usize] {
            sums[vote.target as usize * BLOCK_ROWS + row] += vote.weight;
        }
    }
}

/// The features of up to 64 rows, eight rows of a column side by side.
pub struct Block {
    lanes: Vec<Lane>,
    stride: usize,
    features: usize,
    rows: usize,
}

impl Block {
    /// Takes the values of rows `from .. from + rows` of each column; NaN is a missing value.
    pub fn fill<'a>(&mut self, columns: impl Iterator<Item = &'a [f32]>, from: usize, rows: usize) {
        self.rows = rows;
        for (feature, column) in columns.take(self.features).enumerate() {
            let column = &column[from..from + rows];
            for (group, values) in column.chunks(LANES).enumerate() {
                let mut lane = [0.0; LANES];
                lane[..values.len()].copy_from_slice(values);
                let first = group * self.stride;
                self.lanes[first + plain(feature)] = lane;
                self.lanes[first + missing_left(self.features, feature)] =
                    lane.map(|value| if value.is_nan() { f32::NEG_INFINITY } else { value });
            }
        }
    }
}

/// The number of columns: zeros, then every feature twice.
fn columns(features: usize) -> usize {
    1 + 2 * features
}

/// The column in which a missing value is less than nothing.
fn plain(feature: usize) -> usize {
    1 + feature
}

/// The column in which a missing value is less than every threshold.
fn missing_left(features: usize, feature: usize) -> usize {
    1 + features + feature
}

/// The leaves that a group of rows arrives at.
#[inline(always)]
fn walk_narrow<const ROWS: usize>(nodes: &[Narrow; WINDOW], lanes: &[Lane; COLUMNS], depth: usize) -> [u16; ROWS] {
    let mut at = [0u16; ROWS];
    let mut left = depth;
    while left > 0 {
        let before = at;
        for _ in 0..left.min(STEPS) {
            for (lane, at) in at.iter_mut().enumerate() {
                let node = nodes[*at as usize & (WINDOW - 1)];
                let value = lanes[node.column as usize & (COLUMNS - 1)][lane];
                *at = node.left.wrapping_add(goes_right(value, node.threshold) as u16);
            }
        }
        left = left.saturating_sub(STEPS);
        if at == before {
            break;
        }
    }
    at
}

/// The same without limits on a tree's size.
fn walk_wide(nodes: &[Wide], lanes: &[Lane], depth: usize) -> [u32; LANES] {
    let mut at = [0u32; LANES];
    let mut left = depth;
    while left > 0 {
        let before = at;
        for _ in 0..left.min(STEPS) {
            for (lane, at) in at.iter_mut().enumerate() {
                let node = nodes[*at as usize];
                let value = lanes[node.column as usize][lane];
                *at = node.left + u32::from(goes_right(value, node.threshold));
            }
        }
        left = left.saturating_sub(STEPS);
        if at == before {
            break;
        }
    }
    at
}

/// Whether a value is not less than a threshold; a missing one is not.
#[inline(always)]
#[allow(clippy::neg_cmp_op_on_partial_ord)]
fn goes_right(value: f32, threshold: f32) -> bool {
    !(value < threshold)
}

/// The sum that every leaf of a tree votes for exactly once, if there is one.
fn only_target(forest: &Forest, tree: &Tree) -> Option<u32> {
    let mut only = None;
    for node in &tree.nodes {
        let TreeNode::Leaf { from, to } = *node else { continue };
        let [vote] = forest.votes[from as usize..to as usize] else { return None };
        if *only.get_or_insert(vote.target) != vote.target {
            return None;
        }
    }
    only
}

/// What is to be put at a place of the layout.
#[derive(Clone, Copy)]
enum Put {
    /// A node of the tree.
    Node(u32),
    /// The second comparison of `x == threshold`.
    Above { column: u32, threshold: f32, yes: u32, no_at: u32 },
    /// Goes on at another place.
    Jump(u32),
}

/// Appends a tree's nodes and their leaves' votes, and returns the steps that the longest path takes.
fn lay_out(tree: &Tree, features: usize, nodes: &mut Vec<Wide>, leaves: &mut Vec<(u32, u32)>) -> usize {
    let mut queue = vec![Put::Node(0)];
    let mut next = 0;
    let mut steps_per_branch = 1;
    while next < queue.len() {
        let put = queue[next];
        let here = next as u32;
        next += 1;
        let left = queue.len() as u32;
        let mut votes = (0, 0);
        nodes.push(match put {
            Put::Jump(to) => Wide { threshold: 1.0, left: to, column: 0 },
            Put::Above { column, threshold, yes, no_at } => {
                // Below, above, jump: the longest way through an equality.
                steps_per_branch = 3;
                queue.extend([Put::Node(yes), Put::Jump(no_at)]);
                Wide { threshold, left, column }
            }
            Put::Node(at) => match tree.nodes[at as usize] {
                TreeNode::Leaf { from, to } => {
                    votes = (from, to);
                    Wide { threshold: 1.0, left: here, column: 0 }
                }
                TreeNode::Branch { feature, mode, threshold, missing_yes, yes, no } => {
                    let (node, a, b) = branch(features, feature, mode, threshold, missing_yes, yes, no, left);
                    queue.extend([a, b]);
                    node
                }
            },
        });
        leaves.push(votes);
    }
    tree.depth * steps_per_branch
}

/// Brings a branch into the one form; its children go to `left` and the place beside it.
#[allow(clippy::too_many_arguments)]
fn branch(
    features: usize,
    feature: u32,
    mode: Mode,
    threshold: f32,
    missing_yes: bool,
    yes: u32,
    no: u32,
    left: u32,
) -> (Wide, Put, Put) {
    let column = |goes_left: bool| match goes_left {
        true => missing_left(features, feature as usize) as u32,
        false => plain(feature as usize) as u32,
    };
    let node = |threshold: f32, missing: bool| Wide { threshold, left, column: column(missing) };
    let equal = |yes: u32, no: u32, missing_yes: bool| {
        let above = Put::Above { column: column(missing_yes), threshold: threshold.next_up(), yes, no_at: left };
        (node(threshold, false), Put::Node(no), above)
    };
    match mode {
        Mode::Less => (node(threshold, missing_yes), Put::Node(yes), Put::Node(no)),
        Mode::LessOrEqual => (node(threshold.next_up(), missing_yes), Put::Node(yes), Put::Node(no)),
        Mode::GreaterOrEqual => (node(threshold, !missing_yes), Put::Node(no), Put::Node(yes)),
        Mode::Greater => (node(threshold.next_up(), !missing_yes), Put::Node(no), Put::Node(yes)),
        Mode::Equal => equal(yes, no, missing_yes),
        // A missing value is unequal to everything, so it goes to `yes` whatever the file says.
        Mode::NotEqual => equal(no, yes, false),
    }
}
