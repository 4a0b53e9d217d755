//! exp, tanh and the logistic function in f32, without branches, so that loops over rows are vectorised and every
//! processor and system library gives the same bits. They are off by at most two units in the last place.

/// e to the power of x.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding this rounds to a whole number, which then stands in the last bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Beyond these the result is infinite or zero. A missing value is neither, and stays.
    let x = if x > 90.0 { 90.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let twos = rounded - ROUND;
    let rest = x - twos * LN_2_HIGH - twos * LN_2_LOW;
    let mut sum = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        sum = sum * rest + coefficient;
    }
    let fraction = sum * rest * rest + rest + 1.0;
    let power = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    // In two parts, since the least results have no power of two of their own.
    let half = power >> 1;
    fraction * power_of_two(half) * power_of_two(power.wrapping_sub(half))
}

#[inline(always)]
fn power_of_two(power: i32) -> f32 {
    f32::from_bits((power.wrapping_add(127) << 23) as u32)
}

/// The logistic function, computed from the side on which it does not overflow.
#[inline(always)]
pub fn logistic(x: f32) -> f32 {
    let share = 1.0 / (1.0 + exp(-x.abs()));
    if x < 0.0 { 1.0 - share } else { share }
}

/// The hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let square = x * x;
    let mut sum = -5.704_988_7e-3;
    for coefficient in [2.063_908_8e-2, -5.373_971_6e-2, 0.133_314_42, -0.333_332_8] {
        sum = sum * square + coefficient;
    }
    let small = sum * square * x + x;
    let large = (1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0)).copysign(x);
    if x.abs() < 0.625 { small } else { large }
}

#[cfg(test)]
mod tests {
    use super::{exp, logistic, tanh};

    /// Every 1000th float, both signs: against f64.
    #[test]
    fn results_are_within_two_units_in_the_last_place() {
        let close = |found: f32, exact: f64, what: &str, x: f32| {
            let unit = f64::from((exact as f32).abs().next_up()) - f64::from((exact as f32).abs());
            let off = (f64::from(found) - exact).abs();
            assert!(
                found == exact as f32 || off <= 2.5 * unit.max(f64::from(f32::MIN_POSITIVE)),
                "{what}({x}) = {found}, not {exact}"
            );
        };
        for bits in (0..=f32::MAX.to_bits()).step_by(100_003) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let wide = f64::from(x);
                close(exp(x), wide.exp(), "exp", x);
                close(tanh(x), wide.tanh(), "tanh", x);
                assert!((f64::from(logistic(x)) - 1.0 / (1.0 + (-wide).exp())).abs() <= 1.2e-7, "logistic({x})");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && logistic(f32::NAN).is_nan());
        assert_eq!((exp(f32::INFINITY), exp(f32::NEG_INFINITY)), (f32::INFINITY, 0.0));
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!((logistic(f32::INFINITY), logistic(f32::NEG_INFINITY)), (1.0, 0.0));
    }
}
