//! Lays a tree out for the walk: breadth first, siblings side by side, and every branch in the one form that `trees`
//! describes.

use crate::forest::{Mode, Tree, TreeNode};
use crate::threshold::Threshold;

/// The rows that pass through all trees together.
pub const BLOCK_ROWS: usize = 64;

/// The rows that a tree is walked with at a time: as many as keep a processor busy while each waits for its node.
pub const LANES: usize = 16;

/// A node of any tree.
#[derive(Clone, Copy, Debug)]
pub struct Wide<K> {
    pub threshold: K,
    pub left: u32,
    pub column: u32,
}

/// One column of a group of rows.
pub type Lane<K> = [K; LANES];

/// Where a tree's nodes are, and what its leaves say.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub first: u32,
    pub depth: u32,
    /// The one sum that all leaves of the tree vote for, once each; else the leaves' lists of votes are read.
    pub target: Option<u32>,
}

/// The number of columns: zeros, then every feature twice.
pub fn columns(features: usize) -> usize {
    1 + 2 * features
}

/// The column in which a missing value is less than nothing.
pub fn plain(feature: usize) -> usize {
    1 + feature
}

/// The column in which a missing value is less than every threshold.
pub fn missing_left(features: usize, feature: usize) -> usize {
    1 + features + feature
}

/// So many items from a place on, of which the first are those of a tree or of a group of rows.
pub fn window<I, const ITEMS: usize>(items: &[I], first: usize) -> &[I; ITEMS] {
    items[first..].first_chunk().expect("the layout is padded by a window")
}

/// What is to be put at a place of the layout.
#[derive(Clone, Copy)]
enum Put {
    /// A node of the tree.
    Node(u32),
    /// Goes on at another place.
    Jump(u32),
    /// The second comparison of a branch that takes two.
    Second { column: u32, threshold: f64, left: Goal, right: Goal },
}

/// Where a comparison leads to.
#[derive(Clone, Copy)]
enum Goal {
    /// A node of the tree.
    Node(u32),
    /// The place that the first comparison of the branch leads to on its left.
    FirstLeft,
}

/// A branch in the one form.
struct Form {
    threshold: f64,
    column: u32,
    left: Put,
    right: Put,
}

/// A tree's layout while it is made.
struct Layout<'a> {
    tree: &'a Tree,
    features: usize,
    /// The least number above another, in the precision of the walk.
    above: fn(f64) -> f64,
    /// What comes at each place, first to last; siblings are side by side.
    queue: Vec<Put>,
    /// Where each node of the tree is; none that is not in the queue yet.
    places: Vec<Option<u32>>,
    /// The longest way through one branch.
    steps_per_branch: usize,
}

/// Appends a tree's nodes and their leaves' votes, and returns the steps that the longest path takes.
pub fn lay_out<T: Threshold>(
    tree: &Tree,
    features: usize,
    nodes: &mut Vec<Wide<T::Key>>,
    leaves: &mut Vec<(u32, u32)>,
) -> usize {
    let places = vec![None; tree.nodes.len()];
    let mut layout = Layout { tree, features, above: T::above, queue: Vec::new(), places, steps_per_branch: 1 };
    layout.put(Put::Node(0));
    let mut next = 0;
    while next < layout.queue.len() {
        let put = layout.queue[next];
        let votes = match put {
            Put::Node(at) => match tree.nodes[at as usize] {
                TreeNode::Leaf { from, to } => (from, to),
                TreeNode::Branch { .. } => (0, 0),
            },
            _ => (0, 0),
        };
        let (threshold, left, column) = layout.node(next as u32, put);
        nodes.push(Wide { threshold: T::from_f64(threshold).key(), left, column });
        leaves.push(votes);
        next += 1;
    }
    tree.depth * layout.steps_per_branch
}

impl Layout<'_> {
    /// Puts something at the next place. A node that is shared is put down once and jumped to from elsewhere.
    fn put(&mut self, put: Put) {
        let here = self.queue.len() as u32;
        self.queue.push(match put {
            Put::Node(node) => match self.places[node as usize] {
                Some(place) => {
                    self.steps_per_branch = 3;
                    Put::Jump(place)
                }
                None => {
                    self.places[node as usize] = Some(here);
                    put
                }
            },
            other => other,
        });
    }

    /// The threshold, the left child and the column for a place; its children are put into the queue.
    fn node(&mut self, here: u32, put: Put) -> (f64, u32, u32) {
        let left = self.queue.len() as u32;
        let form = match put {
            Put::Jump(to) => return (1.0, to, 0),
            Put::Second { column, threshold, left, right } => {
                // The left child of the first comparison lies before this node, its sibling.
                let goal = |goal| match goal {
                    Goal::Node(node) => Put::Node(node),
                    Goal::FirstLeft => Put::Jump(here - 1),
                };
                // Below, above, jump: the longest way through.
                self.steps_per_branch = 3;
                Form { threshold, column, left: goal(left), right: goal(right) }
            }
            Put::Node(at) => match self.tree.nodes[at as usize] {
                TreeNode::Leaf { .. } => return (1.0, here, 0),
                branch => self.branch(branch),
            },
        };
        self.put(form.left);
        self.put(form.right);
        (form.threshold, left, form.column)
    }

    /// Brings a branch into the one form.
    fn branch(&self, branch: TreeNode) -> Form {
        let TreeNode::Branch { feature, mode, threshold, missing_yes, yes, no } = branch else {
            unreachable!("only branches are brought into form")
        };
        let column = |missing_goes_left: bool| match missing_goes_left {
            true => missing_left(self.features, feature as usize) as u32,
            false => plain(feature as usize) as u32,
        };
        let (put_yes, put_no) = (Put::Node(yes), Put::Node(no));
        let form = |threshold, column, left, right| Form { threshold, column, left, right };
        let above = (self.above)(threshold);
        let missing = if missing_yes { yes } else { no };
        match mode {
            Mode::Less if threshold == f64::NEG_INFINITY => self.present(feature, no, missing),
            Mode::GreaterOrEqual if threshold == f64::NEG_INFINITY => self.present(feature, yes, missing),
            Mode::LessOrEqual if threshold == f64::INFINITY => self.present(feature, yes, missing),
            Mode::Greater if threshold == f64::INFINITY => self.present(feature, no, missing),
            Mode::Less => form(threshold, column(missing_yes), put_yes, put_no),
            Mode::LessOrEqual => form(above, column(missing_yes), put_yes, put_no),
            Mode::GreaterOrEqual => form(threshold, column(!missing_yes), put_no, put_yes),
            Mode::Greater => form(above, column(!missing_yes), put_no, put_yes),
            Mode::Equal => self.equal(feature, threshold, (yes, no), missing_yes),
            // A missing value is unequal to everything, so it goes to `yes` whatever the file says.
            Mode::NotEqual => self.equal(feature, threshold, (no, yes), false),
        }
    }

    /// `x == threshold`; a missing value goes to `yes` if it is said so.
    fn equal(&self, feature: u32, threshold: f64, (yes, no): (u32, u32), missing_yes: bool) -> Form {
        let (plain, missing_left) = (plain(feature as usize), missing_left(self.features, feature as usize));
        let (plain, missing_left) = (plain as u32, missing_left as u32);
        let above = (self.above)(threshold);
        if threshold == f64::NEG_INFINITY {
            // Nothing is less, so one comparison does.
            let column = if missing_yes { missing_left } else { plain };
            return Form { threshold: above, column, left: Put::Node(yes), right: Put::Node(no) };
        }
        let second = if threshold == f64::INFINITY {
            // What is not less is infinite or missing.
            let left = if missing_yes { Goal::Node(yes) } else { Goal::FirstLeft };
            Put::Second { column: missing_left, threshold, left, right: Goal::Node(yes) }
        } else {
            let column = if missing_yes { missing_left } else { plain };
            Put::Second { column, threshold: above, left: Goal::Node(yes), right: Goal::FirstLeft }
        };
        Form { threshold, column: plain, left: Put::Node(no), right: second }
    }

    /// Whether a value is there at all.
    fn present(&self, feature: u32, present: u32, missing: u32) -> Form {
        let (plain, missing_left) = (plain(feature as usize), missing_left(self.features, feature as usize));
        let right = if present == missing {
            Put::Node(present)
        } else {
            let (column, threshold) = (missing_left as u32, f64::INFINITY);
            Put::Second { column, threshold, left: Goal::Node(missing), right: Goal::FirstLeft }
        };
        Form { threshold: f64::INFINITY, column: plain as u32, left: Put::Node(present), right }
    }
}
