//! Exact sums of floats and of their squares: what comes out depends on the values that are in, never on those that
//! have left or on the order in which they came.
//!
//! A sum is an integer times a power of two. It is narrow (two or four words) where the exponents of the values allow;
//! a key whose values do not fit becomes wide, until its frame is empty.

use super::paged_cells::StoredCell;
use dataflow::Result;
use state::{Decoder, Encoder};
use std::mem;

/// A finite number as `magnitude * 2^exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) magnitude: u64,
    pub(super) is_negative: bool,
    pub(super) exponent: i32,
}

impl Number {
    /// A finite float without trailing zeros in its magnitude.
    #[inline]
    pub(super) fn of_float(value: f64) -> Number {
        let bits = value.to_bits();
        let (biased, fraction) = ((bits >> 52) as i32 & 0x7ff, bits & ((1 << 52) - 1));
        let (magnitude, exponent) = if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
        let zeros = if magnitude == 0 { 0 } else { magnitude.trailing_zeros() };
        let exponent = if magnitude == 0 { 0 } else { exponent + zeros as i32 };
        Number { magnitude: magnitude >> zeros, is_negative: value.is_sign_negative(), exponent }
    }

    #[inline]
    pub(super) fn of_signed(value: i64) -> Number {
        Number { magnitude: value.unsigned_abs(), is_negative: value < 0, exponent: 0 }
    }

    #[inline]
    pub(super) fn of_unsigned(value: u64) -> Number {
        Number { magnitude: value, is_negative: false, exponent: 0 }
    }

    /// The exponent that a sum beginning with this number should have, with room below for finer ones.
    #[inline]
    pub(super) fn base(&self) -> i32 {
        match self.exponent {
            0..=40 => 0,
            below if below < 0 => (below - 24).max(SUM_EXPONENT),
            above => above,
        }
    }
}

/// An integer of N words in two's complement, kept a quarter of its range away from overflow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed<const N: usize>([u64; N]);

impl<const N: usize> Default for Fixed<N> {
    fn default() -> Self {
        Fixed([0; N])
    }
}

impl<const N: usize> StoredCell for Fixed<N> {
    fn put(&self, out: &mut Encoder) {
        self.0.iter().for_each(|&word| out.u64(word));
    }

    fn get(state: &mut Decoder) -> Result<Self> {
        let mut words = [0; N];
        for word in &mut words {
            *word = state.u64()?;
        }
        Ok(Fixed(words))
    }
}

impl<const N: usize> Fixed<N> {
    /// Adds `magnitude * 2^shift`; false, and unchanged, when that does not fit.
    #[inline]
    pub(super) fn add(&mut self, magnitude: u128, is_negative: bool, shift: u32) -> bool {
        if 128 - magnitude.leading_zeros() + shift > N as u32 * 64 - 2 {
            return magnitude == 0;
        }
        let before = self.0;
        let words = shifted::<N>(magnitude, shift);
        let mut carry = is_negative;
        for (word, &other) in self.0.iter_mut().zip(&words) {
            let other = if is_negative { !other } else { other };
            let (sum, first) = word.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*word, carry) = (sum, first | second);
        }
        let top = self.0[N - 1] >> 62;
        if top == 0 || top == 3 {
            return true;
        }
        self.0 = before;
        false
    }

    /// Multiplies by a power of two; false, and unchanged, when that does not fit.
    fn shift_left(&mut self, by: u32) -> bool {
        let (is_negative, magnitude) = self.magnitude();
        if bits(&magnitude) + by > N as u32 * 64 - 2 {
            return bits(&magnitude) == 0;
        }
        let (words, rest) = ((by / 64) as usize, by % 64);
        let mut shifted = [0; N];
        for index in words..N {
            let low = if index > words && rest > 0 { magnitude[index - words - 1] >> (64 - rest) } else { 0 };
            shifted[index] = magnitude[index - words] << rest | low;
        }
        self.0 = if is_negative { negated(shifted) } else { shifted };
        true
    }

    /// The sign and the absolute value.
    pub(super) fn magnitude(&self) -> (bool, [u64; N]) {
        match self.0[N - 1] >> 63 {
            0 => (false, self.0),
            _ => (true, negated(self.0)),
        }
    }
}

fn negated<const N: usize>(mut words: [u64; N]) -> [u64; N] {
    let mut carry = true;
    for word in &mut words {
        (*word, carry) = (!*word).overflowing_add(u64::from(carry));
    }
    words
}

/// `value * 2^shift`, which fits.
#[inline]
fn shifted<const N: usize>(value: u128, shift: u32) -> [u64; N] {
    let (words, rest) = ((shift / 64) as usize, shift % 64);
    let (low, high) = (value as u64, (value >> 64) as u64);
    let mut out = [0; N];
    let parts = match rest {
        0 => [low, high, 0],
        _ => [low << rest, high << rest | low >> (64 - rest), high >> (64 - rest)],
    };
    for (index, part) in parts.into_iter().enumerate() {
        if words + index < N {
            out[words + index] = part;
        }
    }
    out
}

/// How many bits a number has.
pub(super) fn bits(words: &[u64]) -> u32 {
    match words.iter().rposition(|&word| word != 0) {
        Some(top) => top as u32 * 64 + 64 - words[top].leading_zeros(),
        None => 0,
    }
}

/// `words * 2^exponent` as the nearest float, ties to even; infinite beyond the range.
pub(super) fn round(is_negative: bool, words: &[u64], exponent: i32) -> f64 {
    let count = bits(words);
    if count == 0 {
        return 0.0;
    }
    // The top 64 bits.
    let drop = count.saturating_sub(64);
    let (word, rest) = ((drop / 64) as usize, drop % 64);
    let above = words.get(word + 1).copied().unwrap_or(0);
    let mut top = if rest == 0 { words[word] } else { words[word] >> rest | above << (64 - rest) };
    let mut exponent = exponent + drop as i32;
    if count > 53 {
        let lift = top.leading_zeros();
        (top, exponent) = (top << lift, exponent - lift as i32);
        let (tail, half) = (top & 0x7ff, 0x400);
        let up = tail > half || (tail == half && (is_any_below(words, drop) || (top >> 11) & 1 == 1));
        top = (top >> 11) + u64::from(up);
        exponent += 11;
    }
    let value = scale(top as f64, exponent);
    if is_negative { -value } else { value }
}

/// Whether any of the lowest bits is set.
fn is_any_below(words: &[u64], bits: u32) -> bool {
    let (word, rest) = ((bits / 64) as usize, bits % 64);
    words[..word].iter().any(|&below| below != 0) || (rest > 0 && words[word] & ((1 << rest) - 1) != 0)
}

/// `value * 2^exponent` in steps that stay within the range for as long as the result does.
fn scale(mut value: f64, mut exponent: i32) -> f64 {
    while exponent != 0 && value != 0.0 && value.is_finite() {
        let step = exponent.clamp(-1000, 1000);
        value *= f64::from_bits(((1023 + step) as u64) << 52);
        exponent -= step;
    }
    value
}

/// The exponent of the lowest bit of wide sums; a multiple of 32 below that of the least float.
pub(super) const SUM_EXPONENT: i32 = -1088;
const SUM_DIGITS: usize = 72;
const SQUARE_DIGITS: usize = 144;

/// A sum over the whole range of floats, and how many values are no finite numbers.
#[derive(Clone, Debug)]
pub(super) struct Wide {
    sum: Digits,
    squares: Option<Digits>,
    not_numbers: i64,
    infinite: [i64; 2],
}

impl Wide {
    pub(super) fn new(with_squares: bool) -> Wide {
        let squares = with_squares.then(|| Digits::new(SQUARE_DIGITS));
        Wide { sum: Digits::new(SUM_DIGITS), squares, not_numbers: 0, infinite: [0; 2] }
    }

    /// Adds a number, or takes it away.
    pub(super) fn change(&mut self, number: Number, is_added: bool) {
        let at = (number.exponent - SUM_EXPONENT) as u32;
        self.sum.add(u128::from(number.magnitude), number.is_negative == is_added, at);
        if let Some(squares) = &mut self.squares {
            squares.add(u128::from(number.magnitude).pow(2), !is_added, at * 2);
        }
    }

    /// Adds a value that is not finite, or takes it away.
    pub(super) fn change_special(&mut self, value: f64, is_added: bool) {
        let one = if is_added { 1 } else { -1 };
        match value.is_nan() {
            true => self.not_numbers += one,
            false => self.infinite[usize::from(value < 0.0)] += one,
        }
    }

    /// Takes over a narrow sum.
    pub(super) fn take_over<const N: usize>(&mut self, sum: &Fixed<N>, exponent: i32) {
        let (is_negative, words) = sum.magnitude();
        self.sum.add_words(&words, is_negative, (exponent - SUM_EXPONENT) as u32);
    }

    /// Takes over narrow squares, whose exponent is twice that of their sum.
    pub(super) fn take_over_squares<const N: usize>(&mut self, squares: &Fixed<N>, exponent: i32) {
        if let Some(wide) = &mut self.squares {
            wide.add_words(&squares.magnitude().1, false, (exponent - SUM_EXPONENT) as u32 * 2);
        }
    }

    /// The sum when it is not finite.
    pub(super) fn special(&self) -> Option<f64> {
        match (self.not_numbers, self.infinite) {
            (0, [0, 0]) => None,
            (0, [_, 0]) => Some(f64::INFINITY),
            (0, [0, _]) => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }

    pub(super) fn sum(&self) -> f64 {
        let (is_negative, words) = self.sum.magnitude();
        self.special().unwrap_or_else(|| round(is_negative, &words, SUM_EXPONENT))
    }

    /// `count * squares - sum * sum`, which is never negative.
    pub(super) fn spread(&self, count: u64) -> f64 {
        let Some(squares) = &self.squares else { return 0.0 };
        if self.special().is_some() {
            return f64::NAN;
        }
        let spread = spread(&self.sum.magnitude().1, &squares.magnitude().1, count);
        round(false, &spread, SUM_EXPONENT * 2)
    }

    pub(super) fn size(&self) -> usize {
        let digits = SUM_DIGITS + if self.squares.is_some() { SQUARE_DIGITS } else { 0 };
        digits * 8 + size_of::<Wide>()
    }
}

/// `count * squares - sum * sum` in words.
pub(super) fn spread(sum: &[u64], squares: &[u64], count: u64) -> Vec<u64> {
    let mut out = vec![0; (2 * sum.len()).max(squares.len()) + 2];
    add_product(&mut out, squares, &[count]);
    let mut square = vec![0; out.len()];
    add_product(&mut square, sum, sum);
    let mut borrow = false;
    for (word, taken) in out.iter_mut().zip(square) {
        let (rest, first) = word.overflowing_sub(taken);
        let (rest, second) = rest.overflowing_sub(u64::from(borrow));
        (*word, borrow) = (rest, first | second);
    }
    out
}

/// Adds a product to words that have room for it.
fn add_product(out: &mut [u64], left: &[u64], right: &[u64]) {
    for (shift, &factor) in right.iter().enumerate().filter(|(_, factor)| **factor != 0) {
        let mut carry = 0u128;
        for (index, word) in out[shift..].iter_mut().enumerate() {
            let product = u128::from(left.get(index).copied().unwrap_or(0)) * u128::from(factor);
            let sum = product + u128::from(*word) + carry;
            (*word, carry) = (sum as u64, sum >> 64);
            if carry == 0 && index >= left.len() {
                break;
            }
        }
    }
}

/// Digits of 32 bits with room for carries: the value is the sum of `digit * 2^(32 * index)`.
#[derive(Clone, Debug)]
struct Digits {
    digits: Vec<i64>,
    // Digits stay within 2^62 for as long as this many additions have room.
    room: u32,
}

const ADDITIONS: u32 = 1 << 28;

impl Digits {
    fn new(count: usize) -> Digits {
        Digits { digits: vec![0; count], room: ADDITIONS }
    }

    /// Adds `magnitude * 2^at`, or takes it away where it is negative.
    fn add(&mut self, magnitude: u128, is_negative: bool, at: u32) {
        self.add_words(&[magnitude as u64, (magnitude >> 64) as u64], is_negative, at);
    }

    fn add_words(&mut self, words: &[u64], is_negative: bool, at: u32) {
        if self.room == 0 {
            self.carry();
        }
        self.room -= 1;
        let (first, rest) = ((at / 32) as usize, at % 32);
        for (index, half) in words.iter().flat_map(|&word| [word as u32, (word >> 32) as u32]).enumerate() {
            if half == 0 {
                continue;
            }
            let shifted = u64::from(half) << rest;
            for (offset, part) in [shifted as u32, (shifted >> 32) as u32].into_iter().enumerate() {
                if let Some(digit) = self.digits.get_mut(first + index + offset) {
                    *digit += if is_negative { -i64::from(part) } else { i64::from(part) };
                }
            }
        }
    }

    fn carry(&mut self) {
        let mut carry = 0;
        let last = self.digits.len() - 1;
        for digit in &mut self.digits[..last] {
            let sum = *digit + carry;
            carry = sum >> 32;
            *digit = sum & 0xffff_ffff;
        }
        self.digits[last] += carry;
        self.room = ADDITIONS;
    }

    fn magnitude(&self) -> (bool, Vec<u64>) {
        let mut carried = self.clone();
        carried.carry();
        let is_negative = carried.digits.last().is_some_and(|&digit| digit < 0);
        if is_negative {
            carried = self.clone();
            carried.digits.iter_mut().for_each(|digit| *digit = -*digit);
            carried.carry();
        }
        let digits = mem::take(&mut carried.digits);
        (is_negative, digits.chunks(2).map(|pair| pair[0] as u64 | (pair[1] as u64) << 32).collect())
    }
}

/// Brings a narrow sum to a smaller exponent; false when it does not fit.
pub(super) fn lower<const N: usize>(sum: &mut Fixed<N>, by: u32) -> bool {
    sum.shift_left(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow(values: &[f64]) -> f64 {
        let mut sum = Fixed::<4>::default();
        for &value in values {
            let number = Number::of_float(value);
            assert!(sum.add(u128::from(number.magnitude), number.is_negative, (number.exponent + 150) as u32));
        }
        let (is_negative, words) = sum.magnitude();
        round(is_negative, &words, -150)
    }

    fn wide(values: &[f64]) -> f64 {
        let mut sum = Wide::new(false);
        values.iter().for_each(|&value| sum.change(Number::of_float(value), true));
        sum.sum()
    }

    #[test]
    fn one_value_comes_back_as_it_is() {
        for value in [0.0, 1.0, -1.5, 0.1, 1e9, -123_456.789, 1e-20, f64::MAX, f64::MIN_POSITIVE, 5e-324, -2.5e-310] {
            assert_eq!(wide(&[value]), value);
            if value.abs() > 1e-21 && value.abs() < 1e20 {
                assert_eq!(narrow(&[value]), value);
            }
        }
    }

    #[test]
    fn sums_are_rounded_once() {
        assert_eq!(wide(&[1e9, 0.1, -1e9]), 0.1);
        assert_eq!(narrow(&[1e9, 0.1, -1e9]), 0.1);
        assert_eq!(wide(&[1e300, 1e-300, -1e300]), 1e-300);
        assert_eq!(wide(&[1.0, 2f64.powi(-53)]), 1.0);
        assert_eq!(wide(&[1.0, 2f64.powi(-53), 5e-324]), 1.0 + f64::EPSILON);
        assert_eq!(wide(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(wide(&[-3.0, 1.0]), -2.0);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut sum = Fixed::<2>::default();
        assert!(sum.add(5, true, 0));
        assert!(!sum.add(1, false, 126));
        assert!(!sum.shift_left(124));
        assert_eq!(sum.magnitude(), (true, [5, 0]));
        assert!(sum.shift_left(123));
        assert_eq!(sum.magnitude(), (true, [0, 5 << 59]));
    }

    #[test]
    fn equal_values_have_no_spread() {
        let mut sum = Wide::new(true);
        (0..3).for_each(|_| sum.change(Number::of_float(0.1), true));
        assert_eq!(sum.spread(3), 0.0);
        sum.change(Number::of_float(0.1), false);
        sum.change(Number::of_float(1.1), true);
        let expected = 2.0 / 3.0;
        assert!((sum.spread(3) / 3.0 - expected).abs() < 1e-12);
    }
}
