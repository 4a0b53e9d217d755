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
            (Nodes::Narrow(nodes), 1) => self.sum_one_row(nodes, block, sums),
            (Nodes::Narrow(nodes), _) => self.sum_narrow(nodes, block, sums),
            (Nodes::Wide(nodes), _) => self.sum_wide(nodes, block, sums),
        }
    }

    fn sum_narrow(&self, nodes: &[Narrow], block: &Block, sums: &mut [f32]) {
        let groups = block.lanes.as_chunks::<COLUMNS>().0;
        let groups = &groups[..block.rows.div_ceil(LANES)];
        for place in &self.places {
            let first = place.first as usize;
            let nodes = window(nodes, first);
            let weights = window(&self.weights, first);
            for (group, lanes) in groups.iter().enumerate() {
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

    /// One row leaves seven of eight lanes empty, so here the lanes are trees.
    fn sum_one_row(&self, nodes: &[Narrow], block: &Block, sums: &mut [f32]) {
        let Some(lanes) = block.lanes.first_chunk::<COLUMNS>() else { return };
        let row: [f32; COLUMNS] = std::array::from_fn(|column| lanes[column][0]);
        for places in self.places.chunks(LANES) {
            // The last group is filled up with trees that were walked already.
            let windows: [&[Narrow; WINDOW]; LANES] =
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

/// The nodes of a tree, and what lies behind them.
fn window<T>(items: &[T], first: usize) -> &[T; WINDOW] {
    items[first..].first_chunk().expect("the layout is padded by a window")
}

/// The leaves that a group of rows arrives at.
#[inline(always)]
fn walk_narrow(nodes: &[Narrow; WINDOW], lanes: &[Lane; COLUMNS], depth: usize) -> [u16; LANES] {
    until_settled(depth, |at: [u16; LANES]| {
        std::array::from_fn(|lane| {
            let node = &nodes[at[lane] as usize & (WINDOW - 1)];
            let value = lanes[node.column as usize & (COLUMNS - 1)][lane];
            node.left.wrapping_add(u16::from(goes_right(value, node.threshold)))
        })
    })
}

/// The leaves that one row arrives at in several trees.
#[inline(always)]
fn walk_one_row(trees: [&[Narrow; WINDOW]; LANES], row: &[f32; COLUMNS], depth: usize) -> [u16; LANES] {
    until_settled(depth, |at: [u16; LANES]| {
        std::array::from_fn(|lane| {
            let node = &trees[lane][at[lane] as usize & (WINDOW - 1)];
            let value = row[node.column as usize & (COLUMNS - 1)];
            node.left.wrapping_add(u16::from(goes_right(value, node.threshold)))
        })
    })
}

/// The same as [`walk_narrow`] without limits on a tree's size.
fn walk_wide(nodes: &[Wide], lanes: &[Lane], depth: usize) -> [u32; LANES] {
    until_settled(depth, |at: [u32; LANES]| {
        std::array::from_fn(|lane| {
            let node = &nodes[at[lane] as usize];
            let value = lanes[node.column as usize][lane];
            node.left + u32::from(goes_right(value, node.threshold))
        })
    })
}

/// Repeats a step from the roots on: as often as the deepest leaf is deep, or until all have arrived.
#[inline(always)]
fn until_settled<P: Copy + Default + PartialEq>(depth: usize, step: impl Fn([P; LANES]) -> [P; LANES]) -> [P; LANES] {
    let mut at = [P::default(); LANES];
    let mut left = depth;
    loop {
        let before = at;
        for _ in 0..left.min(STEPS) {
            at = step(at);
        }
        left = left.saturating_sub(STEPS);
        if left == 0 || at == before {
            return at;
        }
    }
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

/// A tree's layout while it is made.
struct Layout<'a> {
    tree: &'a Tree,
    features: usize,
    /// What comes at each place, first to last; siblings are side by side.
    queue: Vec<Put>,
    /// Where each node of the tree is; none that is not in the queue yet.
    places: Vec<Option<u32>>,
}

/// Appends a tree's nodes and their leaves' votes, and returns the steps that the longest path takes.
fn lay_out(tree: &Tree, features: usize, nodes: &mut Vec<Wide>, leaves: &mut Vec<(u32, u32)>) -> usize {
    let places = vec![None; tree.nodes.len()];
    let mut layout = Layout { tree, features, queue: Vec::new(), places };
    layout.put(Put::Node(0));
    let mut steps_per_branch = 1;
    let mut next = 0;
    while next < layout.queue.len() {
        let mut votes = (0, 0);
        let put = layout.queue[next];
        if let Put::Above { .. } = put {
            // Below, above, jump: the longest way through an equality.
            steps_per_branch = 3;
        }
        if let Put::Node(at) = put
            && let TreeNode::Leaf { from, to } = tree.nodes[at as usize]
        {
            votes = (from, to);
        }
        nodes.push(layout.node(next as u32, put));
        leaves.push(votes);
        next += 1;
    }
    tree.depth * steps_per_branch
}

impl Layout<'_> {
    /// Puts something at the next place. A node that is shared is put down once and jumped to from elsewhere.
    fn put(&mut self, put: Put) {
        let here = self.queue.len() as u32;
        self.queue.push(match put {
            Put::Node(node) => match self.places[node as usize] {
                Some(place) => Put::Jump(place),
                None => {
                    self.places[node as usize] = Some(here);
                    put
                }
            },
            other => other,
        });
    }

    /// The node for a place; its children are put into the queue.
    fn node(&mut self, here: u32, put: Put) -> Wide {
        let stay = |left| Wide { threshold: 1.0, left, column: 0 };
        let left = self.queue.len() as u32;
        let (threshold, column, first, second) = match put {
            Put::Jump(to) => return stay(to),
            Put::Above { column, threshold, yes, no_at } => (threshold, column, Put::Node(yes), Put::Jump(no_at)),
            Put::Node(at) => match self.tree.nodes[at as usize] {
                TreeNode::Leaf { .. } => return stay(here),
                branch => self.branch(branch, left),
            },
        };
        self.put(first);
        self.put(second);
        Wide { threshold, left, column }
    }

    /// Brings a branch into the one form: its threshold, its column, and what goes to `left` and to the place beside it.
    fn branch(&self, branch: TreeNode, left: u32) -> (f32, u32, Put, Put) {
        let TreeNode::Branch { feature, mode, threshold, missing_yes, yes, no } = branch else {
            unreachable!("only branches are brought into form")
        };
        let column = |missing_goes_left: bool| match missing_goes_left {
            true => missing_left(self.features, feature as usize) as u32,
            false => plain(feature as usize) as u32,
        };
        let above = threshold.next_up();
        let equal = |yes: u32, no: u32, missing_yes: bool| {
            let second = Put::Above { column: column(missing_yes), threshold: above, yes, no_at: left };
            (threshold, column(false), Put::Node(no), second)
        };
        match mode {
            Mode::Less => (threshold, column(missing_yes), Put::Node(yes), Put::Node(no)),
            Mode::LessOrEqual => (above, column(missing_yes), Put::Node(yes), Put::Node(no)),
            Mode::GreaterOrEqual => (threshold, column(!missing_yes), Put::Node(no), Put::Node(yes)),
            Mode::Greater => (above, column(!missing_yes), Put::Node(no), Put::Node(yes)),
            Mode::Equal => equal(yes, no, missing_yes),
            // A missing value is unequal to everything, so it goes to `yes` whatever the file says.
            Mode::NotEqual => equal(no, yes, false),
        }
    }
}
