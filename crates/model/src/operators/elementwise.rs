//! Steps that calculate number by number.

use crate::math;
use crate::registers::{Number, Registers, Step};
use std::fmt::Debug;
use std::marker::PhantomData;

/// A number with fractions.
pub trait Real: Number {
    fn unary(op: Unary) -> fn(&mut [Self], &[Self]);
    fn binary(op: Binary) -> fn(&mut [Self], &[Self], &[Self]);
    fn nan(self) -> bool;
    fn from_f64(number: f64) -> Self;
    fn to_f64(self) -> f64;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
}

/// A calculation on one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    Abs,
    Ceil,
    Erf,
    Exp,
    Floor,
    Log,
    Neg,
    Reciprocal,
    Relu,
    Round,
    Sigmoid,
    Sign,
    Softplus,
    Sqrt,
    Tanh,
}

/// A calculation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    And,
    Or,
    Xor,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

macro_rules! map {
    ($type:ty, |$x:ident| $result:expr) => {
        |out: &mut [$type], xs: &[$type]| {
            for (out, &$x) in out.iter_mut().zip(xs) {
                *out = $result;
            }
        }
    };
    ($type:ty, |$x:ident, $y:ident| $result:expr) => {
        |out: &mut [$type], xs: &[$type], ys: &[$type]| {
            for ((out, &$x), &$y) in out.iter_mut().zip(xs).zip(ys) {
                *out = $result;
            }
        }
    };
}

macro_rules! real {
    ($type:ty, $exp:expr, $ln:expr, $ln_1p:expr, $pow:expr, $tanh:expr, $logistic:expr) => {
        impl Real for $type {
            fn unary(op: Unary) -> fn(&mut [Self], &[Self]) {
                match op {
                    Unary::Abs => map!($type, |x| x.abs()),
                    Unary::Ceil => map!($type, |x| x.ceil()),
                    Unary::Erf => map!($type, |x| erf(f64::from(x)) as $type),
                    Unary::Exp => map!($type, |x| $exp(x)),
                    Unary::Floor => map!($type, |x| x.floor()),
                    Unary::Log => map!($type, |x| $ln(x)),
                    Unary::Neg => map!($type, |x| -x),
                    Unary::Reciprocal => map!($type, |x| 1.0 / x),
                    Unary::Relu => map!($type, |x| if x < 0.0 { 0.0 } else { x }),
                    Unary::Round => map!($type, |x| x.round_ties_even()),
                    Unary::Sigmoid => map!($type, |x| $logistic(x)),
                    Unary::Sign => map!($type, |x| if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        -1.0
                    } else {
                        x * 0.0
                    }),
                    Unary::Softplus => map!($type, |x| if x > 0.0 { x + $ln_1p($exp(-x)) } else { $ln_1p($exp(x)) }),
                    Unary::Sqrt => map!($type, |x| x.sqrt()),
                    Unary::Tanh => map!($type, |x| $tanh(x)),
                }
            }

            fn binary(op: Binary) -> fn(&mut [Self], &[Self], &[Self]) {
                match op {
                    Binary::Add => map!($type, |x, y| x + y),
                    Binary::Sub => map!($type, |x, y| x - y),
                    Binary::Mul => map!($type, |x, y| x * y),
                    Binary::Div => map!($type, |x, y| x / y),
                    Binary::Pow => map!($type, |x, y| if y == 2.0 { x * x } else { $pow(x, y) }),
                    // A missing value stays missing.
                    Binary::Max => map!($type, |x, y| if x > y || x.is_nan() { x } else { y }),
                    Binary::Min => map!($type, |x, y| if x < y || x.is_nan() { x } else { y }),
                    // Only integers have these; the builder asks for no others.
                    Binary::And | Binary::Or | Binary::Xor => map!($type, |x, _y| x),
                }
            }

            fn nan(self) -> bool {
                self.is_nan()
            }

            fn from_f64(number: f64) -> Self {
                number as $type
            }

            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }

            fn ln(self) -> Self {
                $ln(self)
            }

            fn sqrt(self) -> Self {
                self.sqrt()
            }

            fn abs(self) -> Self {
                self.abs()
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }

            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self / other
            }
        }
    };
}

// Those of the standard library are the system's, whose bits differ from processor to processor.
real!(f32, math::exp, libm::logf, libm::log1pf, libm::powf, math::tanh, math::logistic);
real!(f64, libm::exp, libm::log, libm::log1p, libm::pow, libm::tanh, wide_logistic);

fn wide_logistic(x: f64) -> f64 {
    let share = 1.0 / (1.0 + libm::exp(-x.abs()));
    if x < 0.0 { 1.0 - share } else { share }
}

/// The error function, to 1.2e-7: the approximation by a rational function in Numerical Recipes' form.
fn erf(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let sum = COEFFICIENTS.iter().rev().fold(0.0, |sum, coefficient| sum * t + coefficient);
    let rest = t * libm::exp(sum - x * x);
    if x < 0.0 { rest - 1.0 } else { 1.0 - rest }
}

/// Whole numbers wrap around, as the format's do.
fn integers(op: Binary) -> fn(i64, i64) -> Option<i64> {
    match op {
        Binary::Add => |x, y| Some(x.wrapping_add(y)),
        Binary::Sub => |x, y| Some(x.wrapping_sub(y)),
        Binary::Mul => |x, y| Some(x.wrapping_mul(y)),
        Binary::Div => |x, y| if y == 0 { None } else { Some(x.wrapping_div(y)) },
        Binary::Pow => power,
        Binary::Max => |x, y| Some(x.max(y)),
        Binary::Min => |x, y| Some(x.min(y)),
        Binary::And => |x, y| Some(x & y),
        Binary::Or => |x, y| Some(x | y),
        Binary::Xor => |x, y| Some(x ^ y),
    }
}

/// A power that wraps around; one with a negative exponent is the whole part of a fraction.
fn power(mut x: i64, y: i64) -> Option<i64> {
    if y < 0 {
        return match x {
            0 => None,
            1 => Some(1),
            -1 => Some(if y % 2 == 0 { 1 } else { -1 }),
            _ => Some(0),
        };
    }
    let (mut result, mut left) = (1i64, y);
    while left > 0 {
        if left % 2 == 1 {
            result = result.wrapping_mul(x);
        }
        x = x.wrapping_mul(x);
        left /= 2;
    }
    Some(result)
}

/// Numbers from numbers of the same kind.
#[derive(Debug)]
pub struct UnaryStep<T> {
    pub op: Unary,
    pub inputs: Vec<u32>,
    pub first: u32,
    pub kind: PhantomData<T>,
}

impl<T: Real> Step for UnaryStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let apply = T::unary(self.op);
        let (read, written) = crate::registers::split::<T>(registers, self.first);
        for (input, out) in self.inputs.iter().zip(written) {
            apply(&mut out[..rows], &read[*input as usize][..rows]);
        }
    }
}

/// Numbers from pairs of numbers.
#[derive(Debug)]
pub struct BinaryStep<T> {
    pub op: Binary,
    pub inputs: Vec<(u32, u32)>,
    pub first: u32,
    pub kind: PhantomData<T>,
}

impl<T: Real> Step for BinaryStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let apply = T::binary(self.op);
        let (read, written) = crate::registers::split::<T>(registers, self.first);
        for ((x, y), out) in self.inputs.iter().zip(written) {
            apply(&mut out[..rows], &read[*x as usize][..rows], &read[*y as usize][..rows]);
        }
    }
}

/// Whole numbers from whole numbers; a row that divides by zero fails.
#[derive(Debug)]
pub struct IntegerStep {
    pub op: Binary,
    pub inputs: Vec<(u32, u32)>,
    pub first: u32,
    /// Whether they have 32 bits.
    pub narrow: bool,
}

impl Step for IntegerStep {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let apply = integers(self.op);
        let Registers { ints, failed, .. } = registers;
        for (at, (x, y)) in self.inputs.iter().enumerate() {
            let (x, y) = (ints[*x as usize], ints[*y as usize]);
            let out = &mut ints[self.first as usize + at];
            for (row, (x, y)) in x.into_iter().zip(y).enumerate().take(rows) {
                match apply(x, y) {
                    Some(result) => out[row] = if self.narrow { i64::from(result as i32) } else { result },
                    None => failed.insert(row),
                }
            }
        }
    }
}

/// Truth from pairs of numbers.
#[derive(Debug)]
pub struct CompareStep<T> {
    pub op: Comparison,
    pub inputs: Vec<(u32, u32)>,
    pub first: u32,
    pub kind: PhantomData<T>,
}

impl<T: Number> Step for CompareStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let holds: fn(T, T) -> bool = match self.op {
            Comparison::Equal => |x, y| x == y,
            Comparison::Less => |x, y| x < y,
            Comparison::LessOrEqual => |x, y| x <= y,
            Comparison::Greater => |x, y| x > y,
            Comparison::GreaterOrEqual => |x, y| x >= y,
        };
        for (at, (x, y)) in self.inputs.iter().enumerate() {
            let file = T::file(registers);
            let (x, y) = (file[*x as usize], file[*y as usize]);
            let out = &mut registers.ints[self.first as usize + at];
            for row in 0..rows {
                out[row] = i64::from(holds(x[row], y[row]));
            }
        }
    }
}

/// One of two numbers, as a truth value says.
#[derive(Debug)]
pub struct SelectStep<T> {
    pub conditions: Vec<u32>,
    pub inputs: Vec<(u32, u32)>,
    pub first: u32,
    pub kind: PhantomData<T>,
}

impl<T: Number> Step for SelectStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        for (at, (condition, (yes, no))) in self.conditions.iter().zip(&self.inputs).enumerate() {
            let condition = registers.ints[*condition as usize];
            let file = T::file_mut(registers);
            let (yes, no) = (file[*yes as usize], file[*no as usize]);
            let out = &mut file[self.first as usize + at];
            for row in 0..rows {
                out[row] = if condition[row] != 0 { yes[row] } else { no[row] };
            }
        }
    }
}

/// Anything that turns one number into another, maybe of another kind; None fails the row.
pub struct MapStep<T, U, F> {
    pub inputs: Vec<u32>,
    pub first: u32,
    pub map: F,
    pub kinds: PhantomData<(T, U)>,
}

impl<T, U, F> Debug for MapStep<T, U, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MapStep").field("inputs", &self.inputs).field("first", &self.first).finish_non_exhaustive()
    }
}

impl<T: Number, U: Number, F: Fn(T) -> Option<U> + Send + Sync> Step for MapStep<T, U, F> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        for (at, input) in self.inputs.iter().enumerate() {
            let x = T::file(registers)[*input as usize];
            let mut results = [U::default(); crate::registers::LANES];
            for (row, (result, x)) in results.iter_mut().zip(x).take(rows).enumerate() {
                match (self.map)(x) {
                    Some(found) => *result = found,
                    None => registers.failed.insert(row),
                }
            }
            U::file_mut(registers)[self.first as usize + at] = results;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn powers_of_whole_numbers() {
        let expected = [
            ((2, 10), Some(1024)),
            ((-3, 3), Some(-27)),
            ((7, 0), Some(1)),
            ((2, -1), Some(0)),
            ((1, -5), Some(1)),
            ((-1, -2), Some(1)),
            ((-1, -3), Some(-1)),
            ((0, -1), None),
            ((2, 64), Some(0)),
            ((-1, i64::MAX), Some(-1)),
            ((3, 41), Some(3i64.wrapping_pow(41))),
        ];
        for ((x, y), result) in expected {
            assert_eq!(power(x, y), result, "{x} to {y}");
        }
    }
}
