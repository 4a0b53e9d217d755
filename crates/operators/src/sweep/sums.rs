//! Exact sums of floats, and exact moments for variances, per key.

use super::cells::Cells;
use super::exact::{self, Fixed, Number, Wide};
use super::paged_cells::StoredCell;
use super::places::Places;
use super::steps::{Step, StepKind};
use dataflow::Result as StateResult;
use hashbrown::HashMap;
use state::{Decoder, Encoder};

/// How the bits of a value become a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    Signed,
    Unsigned,
    Float,
}

impl Numbers {
    /// The number, or the value when it is not finite.
    #[inline]
    fn read(self, bits: u64) -> Result<Number, f64> {
        match self {
            Numbers::Signed => Ok(Number::of_signed(bits as i64)),
            Numbers::Unsigned => Ok(Number::of_unsigned(bits)),
            Numbers::Float => match f64::from_bits(bits) {
                value if value.is_finite() => Ok(Number::of_float(value)),
                value => Err(value),
            },
        }
    }
}

/// A narrow sum, and squares of the values where variances are wanted. Squares have twice the exponent.
pub(super) trait Narrow: Copy + StoredCell {
    const SQUARES: bool;
    /// Adds a number whose exponent is not below `exponent`, or takes it away; false when it does not fit.
    fn change(&mut self, number: Number, is_added: bool, exponent: i32) -> bool;
    /// Brings the exponent down; false when that does not fit.
    fn lower(&mut self, by: u32) -> bool;
    fn give_to(&self, wide: &mut Wide, exponent: i32);
    /// What is read: the sum, or `count * squares - sum * sum`, the variance times `count * count`.
    fn result(&self, exponent: i32, count: u32) -> f64;
    /// The same of a wide sum.
    fn wide_result(wide: &Wide, count: u32) -> f64;
}

/// A sum alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(Fixed<2>);

impl StoredCell for Sum {
    fn put(&self, out: &mut Encoder) {
        self.0.put(out);
    }

    fn get(state: &mut Decoder) -> StateResult<Sum> {
        Ok(Sum(Fixed::get(state)?))
    }
}

impl StoredCell for Moments {
    fn put(&self, out: &mut Encoder) {
        self.sum.put(out);
        self.squares.put(out);
    }

    fn get(state: &mut Decoder) -> StateResult<Moments> {
        Ok(Moments { sum: Fixed::get(state)?, squares: Fixed::get(state)? })
    }
}

impl<N: Narrow> StoredCell for Cell<N> {
    fn put(&self, out: &mut Encoder) {
        self.narrow.put(out);
        out.u32(self.count);
        out.u32(u32::from(self.exponent.cast_unsigned()));
    }

    fn get(state: &mut Decoder) -> StateResult<Self> {
        let (narrow, count) = (N::get(state)?, state.u32()?);
        Ok(Cell { narrow, count, exponent: (state.u32()? as u16).cast_signed() })
    }
}

impl Narrow for Sum {
    const SQUARES: bool = false;

    #[inline]
    fn change(&mut self, number: Number, is_added: bool, exponent: i32) -> bool {
        self.0.add(u128::from(number.magnitude), number.is_negative == is_added, (number.exponent - exponent) as u32)
    }

    fn lower(&mut self, by: u32) -> bool {
        exact::lower(&mut self.0, by)
    }

    fn give_to(&self, wide: &mut Wide, exponent: i32) {
        wide.take_over(&self.0, exponent);
    }

    #[inline]
    fn result(&self, exponent: i32, _: u32) -> f64 {
        let (is_negative, words) = self.0.magnitude();
        exact::round(is_negative, &words, exponent)
    }

    fn wide_result(wide: &Wide, _: u32) -> f64 {
        wide.sum()
    }
}

/// A sum and the sum of squares.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    sum: Fixed<2>,
    squares: Fixed<4>,
}

impl Narrow for Moments {
    const SQUARES: bool = true;

    #[inline]
    fn change(&mut self, number: Number, is_added: bool, exponent: i32) -> bool {
        let shift = (number.exponent - exponent) as u32;
        let before = self.sum;
        if !self.sum.add(u128::from(number.magnitude), number.is_negative == is_added, shift) {
            return false;
        }
        let fits = self.squares.add(u128::from(number.magnitude).pow(2), !is_added, shift * 2);
        if !fits {
            self.sum = before;
        }
        fits
    }

    fn lower(&mut self, by: u32) -> bool {
        let before = self.sum;
        if !exact::lower(&mut self.sum, by) {
            return false;
        }
        let fits = exact::lower(&mut self.squares, by * 2);
        if !fits {
            self.sum = before;
        }
        fits
    }

    fn give_to(&self, wide: &mut Wide, exponent: i32) {
        wide.take_over(&self.sum, exponent);
        wide.take_over_squares(&self.squares, exponent);
    }

    fn result(&self, exponent: i32, count: u32) -> f64 {
        let (sum, squares) = (self.sum.magnitude().1, self.squares.magnitude().1);
        exact::round(false, &exact::spread(&sum, &squares, u64::from(count)), exponent * 2)
    }

    fn wide_result(wide: &Wide, count: u32) -> f64 {
        wide.spread(u64::from(count))
    }
}

/// Exact sums per key; a key whose numbers lie too far apart is wide until its frame is empty.
#[derive(Debug)]
pub(super) struct Exact<N> {
    pub(super) by_key: Vec<Cell<N>>,
    // By key, wherever its cell is.
    wide: HashMap<u32, Box<Wide>>,
    numbers: Numbers,
    /// What was read: values, and the counts behind them.
    pub(super) results: Vec<f64>,
    pub(super) counts: Vec<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell<N> {
    narrow: N,
    count: u32,
    // WIDE: the sum is in the map.
    exponent: i16,
}

const WIDE: i16 = i16::MIN;

impl<N: Narrow> Exact<N> {
    pub(super) fn new(numbers: Numbers) -> Self {
        Exact { by_key: Vec::new(), wide: HashMap::new(), numbers, results: Vec::new(), counts: Vec::new() }
    }

    pub(super) fn size(&self) -> usize {
        let wide = self.wide.values().next().map_or(0, |wide| wide.size());
        self.by_key.capacity() * size_of::<Cell<N>>() + self.wide.len() * wide + self.wide.allocation_size()
    }

    /// Adds a value.
    #[inline]
    pub(super) fn enter(&mut self, key: u32, bits: u64) {
        self.change(key, bits, true, &Places::default());
    }

    #[inline]
    fn change(&mut self, key: u32, bits: u64, is_added: bool, places: &Places) {
        let cell = &mut self.by_key[key as usize];
        match self.numbers.read(bits) {
            Ok(number) if cell.exponent != WIDE => {
                if is_added && cell.count == 0 {
                    cell.exponent = number.base() as i16;
                }
                let fits = Self::fit(cell, number) && cell.narrow.change(number, is_added, i32::from(cell.exponent));
                if !fits {
                    self.widen(key, places).change(number, is_added);
                }
            }
            Ok(number) => self.widen(key, places).change(number, is_added),
            Err(special) => self.widen(key, places).change_special(special, is_added),
        }
        let cell = &mut self.by_key[key as usize];
        cell.count = if is_added { cell.count + 1 } else { cell.count - 1 };
        if cell.count == 0 {
            if cell.exponent == WIDE {
                self.wide.remove(&places.key_at(key));
            }
            *cell = Cell::default();
        }
    }

    /// The values that were read, and the counts behind them.
    pub(super) fn read(&self) -> impl Iterator<Item = (f64, i64)> {
        self.results.iter().copied().zip(self.counts.iter().copied())
    }

    #[inline]
    pub(super) fn read_cell(&mut self, key: u32, places: &Places) {
        let cell = &self.by_key[key as usize];
        self.counts.push(i64::from(cell.count));
        let wide = if cell.exponent == WIDE { self.wide.get(&places.key_at(key)) } else { None };
        self.results.push(match wide {
            Some(wide) => N::wide_result(wide, cell.count),
            None => cell.narrow.result(i32::from(cell.exponent), cell.count),
        });
    }

    /// Makes the cell's exponent low enough for a number.
    #[inline]
    fn fit(cell: &mut Cell<N>, number: Number) -> bool {
        let exponent = i32::from(cell.exponent);
        if number.exponent >= exponent {
            return true;
        }
        let fits = cell.narrow.lower((exponent - number.exponent) as u32);
        if fits {
            cell.exponent = number.exponent as i16;
        }
        fits
    }

    #[cold]
    fn widen(&mut self, key: u32, places: &Places) -> &mut Wide {
        let cell = &mut self.by_key[key as usize];
        let exponent = std::mem::replace(&mut cell.exponent, WIDE);
        let narrow = std::mem::take(&mut cell.narrow);
        self.wide.entry(places.key_at(key)).or_insert_with(|| {
            let mut wide = Box::new(Wide::new(N::SQUARES));
            narrow.give_to(&mut wide, i32::from(exponent));
            wide
        })
    }
}

/// The sums with whose they are.
pub(super) struct ExactCells<'a, N> {
    pub(super) exact: &'a mut Exact<N>,
    pub(super) places: &'a Places,
}

impl<N: Narrow> Cells for ExactCells<'_, N> {
    #[inline(always)]
    fn prefetch(&self, key: u32, _: impl FnOnce() -> u64) {
        state::prefetch(&self.exact.by_key, key as usize);
    }

    #[inline(always)]
    fn step(&mut self, step: Step, value: u64, _: u64, counts: bool) {
        match step.kind() {
            _ if !counts => {}
            StepKind::Leave => self.exact.change(step.key(), value, false, self.places),
            StepKind::Enter | StepKind::EnterAndRead => self.exact.change(step.key(), value, true, self.places),
            StepKind::Read => {}
        }
        if step.kind().is_read() {
            self.exact.read_cell(step.key(), self.places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums() -> Exact<Sum> {
        let mut sums = Exact::new(Numbers::Float);
        sums.by_key.resize(2, Cell::default());
        sums
    }

    #[test]
    fn what_has_left_leaves_nothing_behind() {
        let mut sums = sums();
        for value in [1e9, 0.1, 1e300, f64::NAN, f64::NEG_INFINITY] {
            sums.change(1, value.to_bits(), true, &Places::default());
        }
        for value in [1e9, 1e300, f64::NAN, f64::NEG_INFINITY] {
            sums.read_cell(1, &Places::default());
            sums.change(1, value.to_bits(), false, &Places::default());
        }
        sums.read_cell(1, &Places::default());
        assert!(sums.results[0].is_nan() && sums.results[2].is_nan());
        assert_eq!(sums.results[3..], [f64::NEG_INFINITY, 0.1]);
        sums.change(1, 0.1f64.to_bits(), false, &Places::default());
        assert!(sums.wide.is_empty());
    }

    #[test]
    fn a_narrow_sum_follows_finer_numbers() {
        let mut sums = sums();
        for value in [1024.0, 0.5, 1e-9, 0.1] {
            sums.change(0, f64::to_bits(value), true, &Places::default());
        }
        sums.change(0, 1024f64.to_bits(), false, &Places::default());
        sums.change(0, 0.5f64.to_bits(), false, &Places::default());
        sums.read_cell(0, &Places::default());
        assert_eq!(sums.results, [1e-9 + 0.1]);
        assert!(sums.wide.is_empty());
    }

    #[test]
    fn variances_do_not_cancel() {
        let mut moments: Exact<Moments> = Exact::new(Numbers::Float);
        moments.by_key.resize(1, Cell::default());
        for value in [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0] {
            moments.change(0, f64::to_bits(value), true, &Places::default());
        }
        moments.read_cell(0, &Places::default());
        assert_eq!(moments.results[0] / 12.0, 30.0);
    }
}
