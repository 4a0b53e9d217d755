//! The fast walk gives the same bits as a naive one, on random ensembles.

use crate::forest::{Forest, Gathering, Mode, Tree, TreeNode, Vote};
use crate::layout::BLOCK_ROWS;
use crate::threshold::Threshold;
use crate::trees::{Block, Trees};
use proptest::prelude::*;

/// One row through one tree, node by node, as the format describes it.
fn leaf(tree: &Tree, at: usize, row: &[f64]) -> (u32, u32) {
    let TreeNode::Branch { feature, mode, threshold, missing_yes, yes, no } = tree.nodes[at] else {
        let TreeNode::Leaf { from, to } = tree.nodes[at] else { unreachable!() };
        return (from, to);
    };
    let value = row[feature as usize];
    let holds = match mode {
        Mode::Less => value < threshold,
        Mode::LessOrEqual => value <= threshold,
        Mode::Greater => value > threshold,
        Mode::GreaterOrEqual => value >= threshold,
        Mode::Equal => value == threshold,
        Mode::NotEqual => value != threshold,
    };
    let next = if holds || (missing_yes && value.is_nan()) { yes } else { no };
    leaf(tree, next as usize, row)
}

/// The sums of one row.
fn naive<T: Threshold>(forest: &Forest, row: &[f64]) -> Vec<T> {
    let mut sums: Vec<Option<T>> = vec![None; forest.targets];
    for tree in &forest.trees {
        let (from, to) = leaf(tree, 0, row);
        for vote in &forest.votes[from as usize..to as usize] {
            let weight = T::from_f64(vote.weight);
            let sum = &mut sums[vote.target as usize];
            *sum = Some(match (*sum, forest.gathering) {
                (None, Gathering::Sum) => {
                    let mut sum = T::ZERO;
                    sum += weight;
                    sum
                }
                (Some(mut sum), Gathering::Sum) => {
                    sum += weight;
                    sum
                }
                (Some(sum), Gathering::Least) if sum <= weight => sum,
                (Some(sum), Gathering::Greatest) if sum >= weight => sum,
                _ => weight,
            });
        }
    }
    sums.into_iter().map(|sum| sum.unwrap_or(T::ZERO)).collect()
}

/// What a random forest is made of.
#[derive(Clone, Debug)]
struct Shape {
    seed: u64,
    features: usize,
    targets: usize,
    trees: usize,
    branches: usize,
    /// How the next branch is chosen: one of all leaves, or the last one (a deep chain).
    deep: bool,
    /// Whether branches are chained as categorical splits are.
    chains: bool,
    modes: Vec<Mode>,
    votes_per_leaf_max: u64,
    gathering: Gathering,
}

/// Small numbers from a seed, so that a failing case is a few fields.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }

    /// Few distinct values, so that thresholds and features are often equal. All are floats.
    fn value(&mut self) -> f64 {
        const SPECIAL: [f32; 8] = [0.0, -0.0, f32::MIN_POSITIVE, 1e-45, -1e-45, f32::MAX, f32::MIN, 1.0];
        match self.below(4) {
            0 => f64::from(SPECIAL[self.below(8) as usize]),
            _ => (self.below(17) as f64 - 8.0) / 4.0,
        }
    }

    fn infinity(&mut self) -> f64 {
        [f64::INFINITY, f64::NEG_INFINITY][self.below(2) as usize]
    }

    fn threshold(&mut self) -> f64 {
        if self.below(8) == 0 { self.infinity() } else { self.value() }
    }

    fn feature(&mut self) -> f64 {
        match self.below(8) {
            0 => f64::NAN,
            1 => self.infinity(),
            _ => self.value(),
        }
    }
}

fn random_tree(shape: &Shape, dice: &mut Dice, votes: &mut Vec<Vote>, target: u32) -> Tree {
    let mut nodes = vec![TreeNode::Leaf { from: 0, to: 0 }];
    let mut leaves = vec![(0usize, 0usize)];
    let mut depth = 0;
    for _ in 0..shape.branches {
        let chosen = if shape.deep { leaves.len() - 1 } else { dice.below(leaves.len() as u64) as usize };
        let (at, level) = leaves.swap_remove(chosen);
        let yes = nodes.len() as u32;
        nodes[at] = TreeNode::Branch {
            feature: dice.below(shape.features as u64) as u32,
            mode: shape.modes[dice.below(shape.modes.len() as u64) as usize],
            threshold: dice.threshold(),
            missing_yes: dice.below(2) == 1,
            yes,
            no: yes + 1,
        };
        for child in [yes, yes + 1] {
            nodes.push(TreeNode::Leaf { from: 0, to: 0 });
            leaves.push((child as usize, level + 1));
        }
        depth = depth.max(level + 1);
        if shape.chains && dice.below(3) == 0 {
            chain(&mut nodes, &mut leaves, at, level, dice);
        }
    }
    if shape.chains {
        // Longer than any path; the walk stops when all rows have arrived.
        depth = nodes.len();
    }
    for node in &mut nodes {
        let TreeNode::Leaf { from, to } = node else { continue };
        *from = votes.len() as u32;
        let one = shape.votes_per_leaf_max == 1;
        for _ in 0..if one { 1 } else { dice.below(shape.votes_per_leaf_max + 1) } {
            let target = if one { target } else { dice.below(shape.targets as u64) as u32 };
            votes.push(Vote { target, weight: f64::from(dice.below(1000) as f32 / 700.0 - 0.7) });
        }
        *to = votes.len() as u32;
    }
    Tree { nodes, depth }
}

/// Makes a branch an equality, and its false child another one with the same true child.
fn chain(nodes: &mut Vec<TreeNode>, leaves: &mut Vec<(usize, usize)>, at: usize, level: usize, dice: &mut Dice) {
    let TreeNode::Branch { mode, no, .. } = &mut nodes[at] else { unreachable!() };
    *mode = Mode::Equal;
    let second = *no as usize;
    let mut copy = nodes[at];
    let TreeNode::Branch { threshold, no, .. } = &mut copy else { unreachable!() };
    *threshold = dice.threshold();
    *no = nodes.len() as u32;
    leaves.retain(|(leaf, _)| *leaf != second);
    leaves.push((nodes.len(), level + 2));
    nodes[second] = copy;
    nodes.push(TreeNode::Leaf { from: 0, to: 0 });
}

fn random_forest(shape: &Shape) -> (Forest, Dice) {
    let mut dice = Dice(shape.seed);
    let mut votes = Vec::new();
    let trees =
        (0..shape.trees).map(|tree| random_tree(shape, &mut dice, &mut votes, (tree % shape.targets) as u32)).collect();
    let (features, targets, gathering) = (shape.features, shape.targets, shape.gathering);
    (Forest { trees, votes, features, targets, gathering, is_double: false }, dice)
}

fn check(shape: &Shape, rows: usize) {
    let (forest, mut dice) = random_forest(shape);
    let columns: Vec<Vec<f64>> = (0..shape.features).map(|_| (0..rows).map(|_| dice.feature()).collect()).collect();
    check_in::<f32>(&forest, &columns, rows);
    check_in::<f64>(&forest, &columns, rows);
}

fn check_in<T: Threshold>(forest: &Forest, columns: &[Vec<f64>], rows: usize) {
    let trees: Trees<T> = Trees::new(forest);
    let walked: Vec<Vec<T>> =
        columns.iter().map(|column| column.iter().map(|value| T::from_f64(*value)).collect()).collect();
    let mut block = Block::default();
    trees.fit(&mut block);
    for from in (0..rows).step_by(BLOCK_ROWS) {
        let count = BLOCK_ROWS.min(rows - from);
        trees.fill(&mut block, walked.iter().map(|column| &column[from..from + count]), count);
        trees.sum(&mut block);
        for row in 0..count {
            let values: Vec<f64> = columns.iter().map(|column| column[from + row]).collect();
            let expected: Vec<T> = naive(forest, &values);
            let found: Vec<T> = (0..forest.targets).map(|target| block.sums[target * BLOCK_ROWS + row]).collect();
            // Debug tells 0 from -0, and prints every bit that differs.
            let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
            assert_eq!(found, expected, "row {} of {rows}: {values:?} in {forest:?}", from + row);
        }
    }
}

const MODES: [Mode; 6] =
    [Mode::Less, Mode::LessOrEqual, Mode::Greater, Mode::GreaterOrEqual, Mode::Equal, Mode::NotEqual];

fn shapes() -> impl Strategy<Value = Shape> {
    let modes = prop_oneof![
        Just(vec![Mode::Less]),
        Just(MODES[..4].to_vec()),
        Just(vec![Mode::Equal, Mode::NotEqual]),
        Just(MODES.to_vec()),
    ];
    let features = prop_oneof![1usize..6, 126usize..130];
    let gathering = prop_oneof![4 => Just(Gathering::Sum), 1 => Just(Gathering::Least), 1 => Just(Gathering::Greatest)];
    let leaves = (1u64..4, gathering);
    (any::<u64>(), features, 1usize..5, 1usize..20, 0usize..80, any::<(bool, bool)>(), modes, leaves).prop_map(
        |(seed, features, targets, trees, branches, (deep, chains), modes, (votes_per_leaf_max, gathering))| Shape {
            seed,
            features,
            targets,
            trees,
            branches,
            deep,
            chains,
            modes,
            votes_per_leaf_max,
            gathering,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_walk_is_the_naive_walk_bit_for_bit(shape in shapes(), rows in 1usize..150) {
        check(&shape, rows);
    }
}

/// Trees too large for the narrow form, and as deep as trees may be.
#[test]
fn large_and_deep_trees_walk_alike() {
    let shape = |branches, deep, modes: &[Mode]| Shape {
        seed: 11,
        features: 9,
        targets: 1,
        trees: 3,
        branches,
        deep,
        chains: false,
        modes: modes.to_vec(),
        votes_per_leaf_max: 1,
        gathering: Gathering::Sum,
    };
    check(&shape(5000, false, &MODES), 70);
    check(&shape(2047, false, &[Mode::Less]), 70);
    check(&shape(2048, false, &[Mode::Less]), 70);
    check(&shape(1000, true, &[Mode::Less, Mode::Equal]), 70);
}
