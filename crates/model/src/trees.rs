//! Walks a checked ensemble fast: the trees laid out for the cache, sixteen rows in step.
//!
//! Every branch is brought into one form, "left if x < threshold, else the node beside it", so that a step is two
//! loads, a comparison and an addition, and rows never wait for a mispredicted branch:
//!
//! ```text
//! x <= t   x < next float above t          x > t, x >= t   the same with the children swapped
//! x == t   x < t ? no : (x < next above t ? yes : no)      x != t   the same with the children swapped
//! missing  every feature has two columns: NaN above all numbers (goes right), and NaN as -inf (goes left)
//! leaf     asks for the column of zeros, which is less than 1: stays where it is
//! ```
//!
//! A threshold of infinity asks whether a value is there at all; that takes two steps as an equality does.
//!
//! Numbers are compared as integers in the same order (`threshold`).
//!
//! Blocks of many rows go through trees of few levels in another way (`sliced`), to the same sums.
//!
//! Nodes lie breadth first and siblings side by side. Rows are taken in blocks of 64, each tree over the whole block
//! before the next, so a tree is read from memory once per block. Sums are made in tree order, whatever the batch is:
//! in f32, or in f64 for models whose thresholds or inputs are doubles.

use crate::forest::{Forest, Gathering, Tree, TreeNode};
use crate::layout::{BLOCK_ROWS, LANES, Lane, Place, Wide, columns, lay_out, missing_left, plain, window};
use crate::sliced::Sliced;
use crate::threshold::{Key, Threshold};

/// The rows from which on it pays to answer the comparisons of all trees first.
const SLICED_ROWS_MIN: usize = 24;

/// The trees that one row is walked through at a time.
const TREES: usize = 8;

/// Nodes of a tree that the narrow form can address; reading a window of that many needs no bounds checks.
const WINDOW: usize = 4096;

/// Columns that the narrow form can address.
const COLUMNS: usize = 256;

/// Steps between two looks at whether all rows have arrived, in trees deeper than that.
const STEPS: usize = 8;

/// A node of a tree of at most [`WINDOW`] nodes over at most [`COLUMNS`] columns.
#[derive(Clone, Copy, Debug, Default)]
struct Narrow<K> {
    threshold: K,
    left: u16,
    /// As many as a byte can name, so that reading a column needs no bounds check.
    column: u8,
}

#[derive(Clone, Debug)]
enum Nodes<K> {
    /// Padded at the end by a window.
    Narrow(Vec<Narrow<K>>),
    Wide(Vec<Wide<K>>),
}

/// What a leaf adds to one sum.
#[derive(Clone, Copy, Debug)]
struct Weight<T> {
    target: u32,
    weight: T,
}

/// An ensemble laid out for walking.
#[derive(Clone, Debug)]
pub struct Trees<T: Threshold> {
    features: usize,
    targets: usize,
    gathering: Gathering,
    places: Vec<Place>,
    nodes: Nodes<T::Key>,
    /// For blocks of many rows, if the trees are made for it.
    sliced: Option<Sliced<T>>,
    /// Per node, the weight of a leaf with one vote. Padded as `nodes`.
    weights: Vec<T>,
    /// Per node, where the votes of a leaf are; only for trees whose leaves have lists of votes.
    ranges: Vec<(u32, u32)>,
    votes: Vec<Weight<T>>,
}

impl<T: Threshold> Trees<T> {
    /// Lays out a checked ensemble.
    pub fn new(forest: &Forest) -> Trees<T> {
        let mut wide = Vec::new();
        let mut leaves = Vec::new();
        let mut places = Vec::new();
        let mut largest = 0;
        for tree in &forest.trees {
            let first = wide.len();
            let depth = lay_out::<T>(tree, forest.features, &mut wide, &mut leaves);
            largest = largest.max(wide.len() - first);
            places.push(Place { first: first as u32, depth: depth as u32, target: only_target(forest, tree) });
        }
        let weight = |at: u32| T::from_f64(forest.votes[at as usize].weight);
        let weights = leaves.iter().map(|&(from, to)| if to > from { weight(from) } else { T::ZERO });
        let mut weights: Vec<T> = weights.collect();
        let ranges = if places.iter().all(|place| place.target.is_some()) { Vec::new() } else { leaves };
        let sliced = Sliced::new(&places, &wide, &weights);
        let narrow = largest <= WINDOW && columns(forest.features) <= COLUMNS;
        let nodes = if narrow {
            let narrow = |node: &Wide<T::Key>| Narrow {
                threshold: node.threshold,
                left: node.left as u16,
                column: node.column as u8,
            };
            let mut nodes: Vec<Narrow<T::Key>> = wide.iter().map(narrow).collect();
            nodes.resize(wide.len() + WINDOW, Narrow::default());
            weights.resize(wide.len() + WINDOW, T::ZERO);
            Nodes::Narrow(nodes)
        } else {
            Nodes::Wide(wide)
        };
        let vote = |vote: &crate::forest::Vote| Weight { target: vote.target, weight: T::from_f64(vote.weight) };
        let votes = if ranges.is_empty() { Vec::new() } else { forest.votes.iter().map(vote).collect() };
        let (features, targets, gathering) = (forest.features, forest.targets, forest.gathering);
        Trees { features, targets, gathering, places, nodes, sliced, weights, ranges, votes }
    }

    /// How many sums a row has.
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// Makes room in a block for the features and the sums of this ensemble.
    pub fn fit(&self, block: &mut Block<T>) {
        // A group of rows is read by a window as well, which reaches into the groups after it.
        let lanes = BLOCK_ROWS.div_ceil(LANES) * self.stride() + COLUMNS;
        if block.lanes.len() < lanes {
            block.lanes.resize(lanes, [T::ZERO.key(); LANES]);
        }
        if block.sums.len() < self.targets * BLOCK_ROWS {
            block.sums.resize(self.targets * BLOCK_ROWS, T::ZERO);
        }
        let answers = self.sliced.as_ref().map_or(0, Sliced::answers);
        if block.answers.len() < answers {
            block.answers.resize(answers, 0);
        }
    }

    /// The columns of a group of rows.
    fn stride(&self) -> usize {
        columns(self.features)
    }

    /// Takes the values of each column, as many as there are rows, into a block; NaN is a missing value.
    pub fn fill<'a>(&self, block: &mut Block<T>, columns: impl Iterator<Item = &'a [T]>, rows: usize) {
        let (features, stride) = (self.features, self.stride());
        block.rows = rows;
        for group in 0..rows.div_ceil(LANES) {
            block.lanes[group * stride] = [T::ZERO.key(); LANES];
        }
        for (feature, column) in columns.take(features).enumerate() {
            for (group, values) in column[..rows].chunks(LANES).enumerate() {
                let mut lane = [T::ZERO; LANES];
                lane[..values.len()].copy_from_slice(values);
                let first = group * stride;
                block.lanes[first + plain(feature)] = lane.map(T::key);
                let missing_least = lane.map(|value| if value.is_missing() { T::NEG_INFINITY } else { value });
                block.lanes[first + missing_left(features, feature)] = missing_least.map(T::key);
            }
        }
    }

    /// Sums the votes for each row of the block: `block.sums[target * BLOCK_ROWS + row]`.
    pub fn sum(&self, block: &mut Block<T>) {
        let mut all_sums = std::mem::take(&mut block.sums);
        let sums = &mut all_sums[..self.targets * BLOCK_ROWS];
        // The least and the greatest begin without a number, which every number beats.
        sums.fill(if self.gathering == Gathering::Sum { T::ZERO } else { T::NAN });
        self.gather(block, sums);
        if self.gathering != Gathering::Sum {
            sums.iter_mut().filter(|sum| sum.is_missing()).for_each(|sum| *sum = T::ZERO);
        }
        block.sums = all_sums;
    }

    fn gather(&self, block: &mut Block<T>, sums: &mut [T]) {
        if let Some(sliced) = self.sliced.as_ref().filter(|_| block.rows >= SLICED_ROWS_MIN) {
            let groups = block.rows.div_ceil(LANES);
            return sliced.sum(&block.lanes, self.stride(), groups, &mut block.answers, sums);
        }
        match (&self.nodes, block.rows) {
            (Nodes::Narrow(nodes), 1) => self.sum_one_row(nodes, block, sums),
            (Nodes::Narrow(nodes), _) => self.sum_narrow(nodes, block, sums),
            (Nodes::Wide(nodes), _) => self.sum_wide(nodes, block, sums),
        }
    }

    fn sum_narrow(&self, nodes: &[Narrow<T::Key>], block: &Block<T>, sums: &mut [T]) {
        let stride = self.stride();
        for place in &self.places {
            let first = place.first as usize;
            let nodes = window(nodes, first);
            let weights: &[T; WINDOW] = window(&self.weights, first);
            for group in 0..block.rows.div_ceil(LANES) {
                let lanes = window(&block.lanes, group * stride);
                let at = walk_narrow(nodes, lanes, place.depth as usize);
                match place.target {
                    Some(target) => {
                        let from = target as usize * BLOCK_ROWS + group * LANES;
                        for (sum, at) in sums[from..from + LANES].iter_mut().zip(at) {
                            *sum += weights[at as usize & (WINDOW - 1)];
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

    /// One row leaves all other lanes empty, so here the lanes are trees.
    fn sum_one_row(&self, nodes: &[Narrow<T::Key>], block: &Block<T>, sums: &mut [T]) {
        let mut row = [T::Key::default(); COLUMNS];
        row.iter_mut().zip(&block.lanes[..self.stride()]).for_each(|(value, lane)| *value = lane[0]);
        for places in self.places.chunks(TREES) {
            // The last group is filled up with trees that were walked already.
            let windows: [&[Narrow<T::Key>; WINDOW]; TREES] =
                std::array::from_fn(|lane| window(nodes, places[lane % places.len()].first as usize));
            let depth = places.iter().map(|place| place.depth).max().unwrap_or(0);
            let at = walk_one_row(windows, &row, depth as usize);
            for (place, at) in places.iter().zip(at) {
                let node = place.first as usize + at as usize;
                match place.target {
                    Some(target) => sums[target as usize * BLOCK_ROWS] += self.weights[node],
                    None => self.vote(node, 0, sums),
                }
            }
        }
    }

    fn sum_wide(&self, nodes: &[Wide<T::Key>], block: &Block<T>, sums: &mut [T]) {
        for (place, next) in self.places.iter().zip(self.ends()) {
            let first = place.first as usize;
            for (group, lanes) in block.lanes.chunks(self.stride()).take(block.rows.div_ceil(LANES)).enumerate() {
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
    fn vote(&self, node: usize, row: usize, sums: &mut [T]) {
        let (from, to) = self.ranges[node];
        for vote in &self.votes[from as usize..to as usize] {
            let sum = &mut sums[vote.target as usize * BLOCK_ROWS + row];
            match self.gathering {
                Gathering::Sum => *sum += vote.weight,
                Gathering::Least if *sum <= vote.weight => {}
                Gathering::Greatest if *sum >= vote.weight => {}
                Gathering::Least | Gathering::Greatest => *sum = vote.weight,
            }
        }
    }
}

/// The features of up to 64 rows, some rows of a column side by side, and what the trees make of them.
#[derive(Clone, Debug, Default)]
pub struct Block<T: Threshold> {
    lanes: Vec<Lane<T::Key>>,
    rows: usize,
    /// Of the comparisons of all trees.
    answers: Vec<u64>,
    /// The sum of a target and a row at `target * BLOCK_ROWS + row`.
    pub sums: Vec<T>,
}

/// The leaves that a group of rows arrives at.
#[inline(always)]
fn walk_narrow<K: Key>(nodes: &[Narrow<K>; WINDOW], lanes: &[Lane<K>; COLUMNS], depth: usize) -> [u32; LANES] {
    until_settled(depth, |at: [u32; LANES]| {
        std::array::from_fn(|lane| {
            let node = &nodes[at[lane] as usize & (WINDOW - 1)];
            let value = lanes[node.column as usize][lane];
            u32::from(node.left) + u32::from(value >= node.threshold)
        })
    })
}

/// The leaves that one row arrives at in several trees.
#[inline(always)]
fn walk_one_row<K: Key>(trees: [&[Narrow<K>; WINDOW]; TREES], row: &[K; COLUMNS], depth: usize) -> [u32; TREES] {
    until_settled(depth, |at: [u32; TREES]| {
        std::array::from_fn(|lane| {
            let node = &trees[lane][at[lane] as usize & (WINDOW - 1)];
            let value = row[node.column as usize];
            u32::from(node.left) + u32::from(value >= node.threshold)
        })
    })
}

/// The same as [`walk_narrow`] without limits on a tree's size.
fn walk_wide<K: Key>(nodes: &[Wide<K>], lanes: &[Lane<K>], depth: usize) -> [u32; LANES] {
    until_settled(depth, |at: [u32; LANES]| {
        std::array::from_fn(|lane| {
            let node = &nodes[at[lane] as usize];
            let value = lanes[node.column as usize][lane];
            node.left + u32::from(value >= node.threshold)
        })
    })
}

/// Repeats a step from the roots on: as often as the deepest leaf is deep, or until all have arrived.
#[inline(always)]
fn until_settled<const N: usize>(depth: usize, step: impl Fn([u32; N]) -> [u32; N]) -> [u32; N] {
    let mut at = [0; N];
    for _ in 0..depth.min(STEPS) {
        at = step(at);
    }
    let mut left = depth.saturating_sub(STEPS);
    while left > 0 {
        let before = at;
        for _ in 0..left.min(STEPS) {
            at = step(at);
        }
        left = if at == before { 0 } else { left.saturating_sub(STEPS) };
    }
    at
}

/// The sum that every leaf of a tree votes for exactly once, if there is one.
fn only_target(forest: &Forest, tree: &Tree) -> Option<u32> {
    let mut only = None;
    if forest.gathering != Gathering::Sum {
        return None;
    }
    for node in &tree.nodes {
        let TreeNode::Leaf { from, to } = *node else { continue };
        let [vote] = forest.votes[from as usize..to as usize] else { return None };
        if *only.get_or_insert(vote.target) != vote.target {
            return None;
        }
    }
    only
}
