//! Where a batch is calculated: registers of 64 rows, one for each number of a row, and the steps between them.
//!
//! Every step works row by row, so what a row gives depends on the row alone, to the bit, whatever the batch is. Steps
//! write only registers after those that they read, so a file is split in two and no step copies.

use crate::row_texts::RowTexts;
use crate::threshold::Threshold;
use crate::trees::Block;
use std::fmt::Debug;

/// The rows that are calculated together.
pub const LANES: usize = 64;

/// One number of each of up to 64 rows.
pub type Lane<T> = [T; LANES];

/// All registers of one scoring.
#[derive(Clone, Debug, Default)]
pub struct Registers {
    pub floats: Vec<Lane<f32>>,
    pub doubles: Vec<Lane<f64>>,
    /// Integers, booleans as 0 and 1, and texts by their number in the model's list of texts.
    pub ints: Vec<Lane<i64>>,
    /// The texts that numbers stand for, where a step reads them.
    pub texts: RowTexts,
    /// The rows that a step could not calculate.
    pub failed: Rows,
    /// Where ensembles walk, one after the other.
    pub block: Block<f32>,
    pub double_block: Block<f64>,
}

/// A set of the rows of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows(u64);

impl Rows {
    pub fn insert(&mut self, row: usize) {
        self.0 |= 1 << row;
    }

    pub fn contains(self, row: usize) -> bool {
        self.0 >> row & 1 == 1
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A number that registers hold.
pub trait Number: Copy + Debug + Default + PartialOrd + Send + Sync + 'static {
    fn file(registers: &Registers) -> &Vec<Lane<Self>>;
    fn file_mut(registers: &mut Registers) -> &mut Vec<Lane<Self>>;
}

macro_rules! number {
    ($type:ty, $file:ident) => {
        impl Number for $type {
            fn file(registers: &Registers) -> &Vec<Lane<Self>> {
                &registers.$file
            }

            fn file_mut(registers: &mut Registers) -> &mut Vec<Lane<Self>> {
                &mut registers.$file
            }
        }
    };
}

number!(f32, floats);
number!(f64, doubles);
number!(i64, ints);

/// A number that trees are walked with and that registers hold.
pub trait Walked: Threshold + Number {
    /// Where ensembles of that precision walk.
    fn block(registers: &mut Registers) -> &mut Block<Self>;
}

impl Walked for f32 {
    fn block(registers: &mut Registers) -> &mut Block<f32> {
        &mut registers.block
    }
}

impl Walked for f64 {
    fn block(registers: &mut Registers) -> &mut Block<f64> {
        &mut registers.double_block
    }
}

/// The registers before `first`, to read, and those from there on, to write.
pub fn split<T: Number>(registers: &mut Registers, first: u32) -> (&[Lane<T>], &mut [Lane<T>]) {
    let (before, from) = T::file_mut(registers).split_at_mut(first as usize);
    (before, from)
}

/// One calculation on registers.
pub trait Step: Debug + Send + Sync {
    /// Calculates the first `rows` rows of the registers that the step writes.
    fn run(&self, registers: &mut Registers, rows: usize);
}
