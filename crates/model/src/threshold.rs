//! The two precisions in which trees are walked.

use std::fmt::Debug;
use std::ops::AddAssign;

/// A number that a feature is compared with.
pub trait Threshold: Copy + Debug + Default + PartialOrd + AddAssign + Send + Sync + 'static {
    const ZERO: Self;
    const NAN: Self;
    const NEG_INFINITY: Self;

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
