//! The two precisions in which trees are walked, and numbers as integers that are in the same order.
//!
//! Processors compare integers in fewer steps than floats. A missing value is the greatest of all, so that it is never
//! less than a threshold; the two zeros are one.

use std::fmt::Debug;
use std::ops::AddAssign;

/// An integer that stands for a number among others.
pub trait Key: Copy + Debug + Default + Ord + Send + Sync + 'static {}

impl Key for u32 {}
impl Key for u64 {}

/// A number that a feature is compared with.
pub trait Threshold: Copy + Debug + Default + PartialOrd + AddAssign + Send + Sync + 'static {
    const ZERO: Self;
    const NAN: Self;
    const NEG_INFINITY: Self;

    /// What is compared in place of numbers.
    type Key: Key;

    /// The integer that stands for the number.
    fn key(self) -> Self::Key;
    /// Rounds to the precision.
    fn from_f64(number: f64) -> Self;
    fn to_f32(self) -> f32;
    fn over(self, divisor: Self) -> Self;
    fn is_missing(self) -> bool;
    /// The least number above another in the precision.
    fn above(number: f64) -> f64;
}

impl Threshold for f32 {
    const ZERO: Self = 0.0;
    const NAN: Self = f32::NAN;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;

    type Key = u32;

    #[inline(always)]
    fn key(self) -> u32 {
        // A negative number has all bits turned, since it is the less the greater they are; another one has the sign's.
        let bits = (self + 0.0).to_bits();
        let turned = bits ^ ((bits as i32 >> (u32::BITS - 1)) as u32 | 1 << (u32::BITS - 1));
        if self.is_nan() { u32::MAX } else { turned }
    }

    fn from_f64(number: f64) -> Self {
        number as f32
    }

    fn to_f32(self) -> f32 {
        self
    }

    fn over(self, divisor: Self) -> Self {
        self / divisor
    }

    fn is_missing(self) -> bool {
        self.is_nan()
    }

    fn above(number: f64) -> f64 {
        f64::from((number as f32).next_up())
    }
}

impl Threshold for f64 {
    const ZERO: Self = 0.0;
    const NAN: Self = f64::NAN;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;

    type Key = u64;

    #[inline(always)]
    fn key(self) -> u64 {
        // A negative number has all bits turned, since it is the less the greater they are; another one has the sign's.
        let bits = (self + 0.0).to_bits();
        let turned = bits ^ ((bits as i64 >> (u64::BITS - 1)) as u64 | 1 << (u64::BITS - 1));
        if self.is_nan() { u64::MAX } else { turned }
    }

    fn from_f64(number: f64) -> Self {
        number
    }

    fn to_f32(self) -> f32 {
        self as f32
    }

    fn over(self, divisor: Self) -> Self {
        self / divisor
    }

    fn is_missing(self) -> bool {
        self.is_nan()
    }

    fn above(number: f64) -> f64 {
        number.next_up()
    }
}

#[cfg(test)]
mod tests {
    use super::Threshold;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_numbers(x in any::<f32>(), y in any::<f32>(), a in any::<f64>(), b in any::<f64>()) {
            prop_assert_eq!(x.key() < y.key(), x < y || (!x.is_nan() && y.is_nan()));
            prop_assert_eq!(a.key() < b.key(), a < b || (!a.is_nan() && b.is_nan()));
        }
    }

    #[test]
    fn zeros_are_one_and_what_is_missing_is_less_than_nothing() {
        assert_eq!(((-0.0f32).key(), (-0.0f64).key()), (0.0f32.key(), 0.0f64.key()));
        assert!(f32::INFINITY.key() < f32::NAN.key() && f64::INFINITY.key() < (-f64::NAN).key());
        assert!(f32::NEG_INFINITY.key() < f32::MIN.key() && f64::NEG_INFINITY.key() < f64::MIN.key());
        assert!(1e-45f32.key() > 0.0f32.key() && (-1e-45f32).key() < 0.0f32.key());
    }
}
