//! Walks trees of few levels for 64 rows at a time, a bit for each row.
//!
//! Every comparison that the ensemble makes is first answered for all rows, as a word of 64 bits: the thresholds of a
//! column are sorted, each row sets its bit at the first of them that it is less than, and the answers are the sums of
//! bits from the left. Trees that were trained on binned columns ask the same questions again and again, so these are
//! few. A tree then splits the word of all rows down to its last level,
//!
//! ```text
//! less = rows & answer     their bit of the leaf's number is 1
//! rows ^ less              their bit is 0
//! ```
//!
//! and the levels' words, turned from levels of rows to rows of levels, are the numbers of the leaves. A leaf that lies
//! higher up stands under both children of nodes that ask nothing. (The idea of answering the comparisons of all trees
//! first is QuickScorer's, Lucchese et al., SIGIR 2015; here the bits are rows and not leaves.)

use crate::layout::{BLOCK_ROWS, LANES, Lane, Place, Wide, window};
use crate::threshold::Threshold;

/// The most branches on a way through a tree: a leaf's number is a byte.
const DEPTH_MAX: usize = 8;
const LEAVES: usize = 1 << DEPTH_MAX;

/// How many times as many leaves as the trees have nodes they may be filled up to.
const FILL_MAX: usize = 4;

/// The answer of nodes that ask nothing: no row is less.
const NONE: u32 = 0;

/// The thresholds that a column is compared with.
#[derive(Clone, Debug)]
struct Asked<K> {
    column: u32,
    /// The place of its first answer.
    first: u32,
    /// From the least to the greatest, each once.
    thresholds: Vec<K>,
}

/// Where a tree is.
#[derive(Clone, Copy, Debug)]
struct Part {
    first: u32,
    depth: u32,
    target: u32,
}

/// Trees each of whose leaves votes once, for the tree's one sum.
#[derive(Clone, Debug)]
pub struct Sliced<T: Threshold> {
    asked: Vec<Asked<T::Key>>,
    answers: usize,
    parts: Vec<Part>,
    /// The answer that each node splits its rows by, level by level; one in front of each tree is not used.
    nodes: Vec<u32>,
    /// What the leaves add, by their number. Padded at the end.
    weights: Vec<T>,
}

impl<T: Threshold> Sliced<T> {
    /// Fills trees up, unless they are too deep, vote for several sums, or would grow by too much.
    pub fn new(places: &[Place], wide: &[Wide<T::Key>], weights: &[T]) -> Option<Sliced<T>> {
        let target = |place: &Place| place.target.filter(|_| place.depth as usize <= DEPTH_MAX);
        let targets: Vec<u32> = places.iter().map(target).collect::<Option<_>>()?;
        let leaves: usize = places.iter().map(|place| 1 << place.depth).sum();
        if leaves > wide.len().saturating_mul(FILL_MAX) {
            return None;
        }
        let (asked, answers) = asked(wide);
        let (nodes, filled) = (Vec::with_capacity(leaves), Vec::with_capacity(leaves + LEAVES));
        let mut sliced = Sliced { asked, answers, parts: Vec::with_capacity(places.len()), nodes, weights: filled };
        for (place, target) in places.iter().zip(targets) {
            let first = place.first as usize;
            sliced.parts.push(Part { first: sliced.nodes.len() as u32, depth: place.depth, target });
            sliced.push(place.depth, &wide[first..], &weights[first..]);
        }
        sliced.weights.resize(leaves + LEAVES, T::ZERO);
        Some(sliced)
    }

    /// Appends a tree, level by level.
    fn push(&mut self, depth: u32, wide: &[Wide<T::Key>], weights: &[T]) {
        let mut level = vec![0];
        self.nodes.push(NONE);
        for _ in 0..depth {
            let mut below = Vec::with_capacity(2 * level.len());
            for at in level {
                let node = wide[at as usize];
                self.nodes.push(self.answer(node));
                // What asks for the column of zeros is always less: a leaf, or a jump.
                below.extend(if node.column == 0 { [node.left, node.left] } else { [node.left + 1, node.left] });
            }
            level = below;
        }
        self.weights.extend(level.iter().map(|at| weights[*at as usize]));
    }

    /// The place of a node's answer.
    fn answer(&self, node: Wide<T::Key>) -> u32 {
        let Ok(at) = self.asked.binary_search_by_key(&node.column, |asked| asked.column) else { return NONE };
        let asked = &self.asked[at];
        asked.first + asked.thresholds.partition_point(|threshold| *threshold < node.threshold) as u32
    }

    /// How many words the answers take.
    pub fn answers(&self) -> usize {
        self.answers
    }

    /// Adds the votes for the rows of a block to `sums[target * BLOCK_ROWS + row]`.
    pub fn sum(&self, lanes: &[Lane<T::Key>], stride: usize, groups: usize, answers: &mut [u64], sums: &mut [T]) {
        for asked in &self.asked {
            let columns = (0..groups).map(|group| &lanes[group * stride + asked.column as usize]);
            asked.answer(columns, &mut answers[asked.first as usize..]);
        }
        let mut rows = [0; LEAVES / 2];
        for part in &self.parts {
            let (first, depth) = (part.first as usize, part.depth as usize);
            let leaves = leaves(&self.nodes[first..first + (1 << depth)], depth, answers, &mut rows);
            let weights: &[T; LEAVES] = window(&self.weights, first);
            let sums: &mut [T; BLOCK_ROWS] =
                sums[part.target as usize * BLOCK_ROWS..].first_chunk_mut().expect("a sum for each row of a block");
            for (row, leaves) in leaves.iter().enumerate() {
                for (byte, leaf) in leaves.to_le_bytes().into_iter().enumerate() {
                    sums[8 * byte + row] += weights[leaf as usize];
                }
            }
        }
    }
}

impl<K: Ord + Copy> Asked<K> {
    /// For each threshold, which rows are less.
    fn answer<'a>(&self, columns: impl Iterator<Item = &'a Lane<K>>, answers: &mut [u64])
    where
        K: 'a,
    {
        // What is less than no threshold has a word of its own, after the answers.
        let answers = &mut answers[..=self.thresholds.len()];
        answers.fill(0);
        for (group, values) in columns.enumerate() {
            for (lane, value) in values.iter().enumerate() {
                let first = self.thresholds.partition_point(|threshold| threshold <= value);
                answers[first] |= 1 << (group * LANES + lane);
            }
        }
        let mut less = 0;
        for answer in answers {
            less |= *answer;
            *answer = less;
        }
    }
}

/// The comparisons that trees make: by column, and how many words their answers take.
fn asked<K: Ord + Copy>(wide: &[Wide<K>]) -> (Vec<Asked<K>>, usize) {
    let mut pairs: Vec<(u32, K)> =
        wide.iter().filter(|node| node.column != 0).map(|node| (node.column, node.threshold)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut answers = NONE as usize + 1;
    let mut asked = Vec::new();
    for run in pairs.chunk_by(|a, b| a.0 == b.0) {
        let thresholds: Vec<K> = run.iter().map(|(_, threshold)| *threshold).collect();
        let first = answers as u32;
        answers += thresholds.len() + 1;
        asked.push(Asked { column: run[0].0, first, thresholds });
    }
    (asked, answers)
}

/// The numbers of the leaves that rows arrive at: that of row `8 * byte + at` is that byte of the word at `at`. The words
/// for `rows` may hold anything.
#[inline(always)]
fn leaves(nodes: &[u32], depth: usize, answers: &[u64], rows: &mut [u64; LEAVES / 2]) -> [u64; 8] {
    rows[0] = u64::MAX;
    let mut levels = [0; DEPTH_MAX];
    for level in 0..depth {
        let count = 1 << level;
        let nodes = &nodes[count..2 * count];
        let mut ones = 0;
        if level + 1 == depth {
            for (rows, node) in rows[..count].iter().zip(nodes) {
                ones |= rows & answers[*node as usize];
            }
        } else {
            // From the right, so that children take the places of nodes that are split already.
            for at in (0..count).rev() {
                let less = rows[at] & answers[nodes[at] as usize];
                ones |= less;
                rows[2 * at + 1] = less;
                rows[2 * at] = rows[at] ^ less;
            }
        }
        // The last level's bit is the lowest.
        levels[depth - 1 - level] = ones;
    }
    turned(levels)
}

/// Turns each eight by eight bits around: bit `at` of byte `byte` of word `level` becomes bit `level` of byte `byte` of
/// word `at`.
#[inline(always)]
fn turned(mut words: [u64; 8]) -> [u64; 8] {
    let mut swap = |first: [usize; 4], apart: usize, kept: u64| {
        for at in first {
            let swapped = (words[at] >> apart ^ words[at + apart]) & kept;
            words[at + apart] ^= swapped;
            words[at] ^= swapped << apart;
        }
    };
    swap([0, 1, 2, 3], 4, 0x0f0f_0f0f_0f0f_0f0f);
    swap([0, 1, 4, 5], 2, 0x3333_3333_3333_3333);
    swap([0, 2, 4, 6], 1, 0x5555_5555_5555_5555);
    words
}

#[cfg(test)]
mod tests {
    use super::turned;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn levels_of_rows_become_rows_of_levels(words in any::<[u64; 8]>()) {
            let found = turned(words);
            for row in 0..64 {
                let leaf = (0..8).map(|level| (words[level] >> row & 1) << level).sum::<u64>();
                prop_assert_eq!(found[row % 8] >> (8 * (row / 8)) & 0xff, leaf);
            }
        }
    }
}
