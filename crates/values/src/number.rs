//! Numbers and booleans as text.

use std::str::FromStr;

/// A power of ten as an integer; `None` beyond 38 digits.
pub fn power_of_ten(digits: u32) -> Option<i128> {
    10i128.checked_pow(digits)
}

/// Moves the point of a decimal; halves go away from zero.
pub fn moved(value: i128, by: i32) -> Option<i128> {
    if by >= 0 {
        return if value == 0 { Some(0) } else { value.checked_mul(power_of_ten(by as u32)?) };
    }
    let Some(factor) = power_of_ten(by.unsigned_abs()) else { return Some(0) };
    let (whole, rest) = (value / factor, value % factor);
    Some(if rest.abs() >= factor - rest.abs() { whole + value.signum() } else { whole })
}

/// Reads a boolean.
pub fn read_boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match is(["true", "t", "yes", "y", "1"]) {
        true => Some(true),
        false => is(["false", "f", "no", "n", "0"]).then_some(false),
    }
}

/// What may stand around a number: the spaces of ASCII, as in DuckDB.
fn is_space(letter: char) -> bool {
    letter.is_ascii_whitespace() || letter == '\u{b}'
}

/// Reads a float; a number beyond its range is infinite.
pub fn read_float<T: FromStr>(text: &str) -> Option<T> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let text = text.trim_matches(is_space);
    if !text.contains('_') {
        return text.parse().ok();
    }
    let apart = text.as_bytes().windows(3).filter(|around| around[1] == b'_');
    let fine = apart.clone().all(|around| around[0].is_ascii_digit() && around[2].is_ascii_digit());
    (fine && apart.count() == text.matches('_').count()).then(|| text.replace('_', "").parse().ok())?
}

/// Reads an integer; halves go away from zero.
pub fn read_whole(text: &str) -> Option<i128> {
    let trimmed = text.trim_matches(is_space);
    let based = |prefix: [&str; 2], base| {
        let digits = prefix.iter().find_map(|prefix| trimmed.strip_prefix(prefix))?;
        digits.bytes().all(|digit| digit.is_ascii_alphanumeric()).then(|| i128::from_str_radix(digits, base).ok())?
    };
    based(["0x", "0X"], 16)
        .or_else(|| based(["0b", "0B"], 2))
        .or_else(|| read_exact(text, 0))
        .filter(|v| v.abs() < 1 << 65)
}

/// Reads a number with this many digits after the point; halves go away from zero.
pub fn read_exact(text: &str, scale: i32) -> Option<i128> {
    let text = text.trim_matches(is_space);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent),
        None => (text, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_split_well = |digits: &str| !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let exponent = exponent.replace('_', "").parse::<i32>().ok().filter(|_| is_split_well(unsigned))?;
    if (whole.is_empty() && fraction.is_empty()) || !is_split_well(whole) {
        return None;
    }
    let whole_digits = whole.bytes().filter(|byte| *byte != b'_').count();
    // How many of all digits count; the one after them says how they are rounded.
    let counted = i64::try_from(whole_digits).ok()? + i64::from(exponent) + i64::from(scale);
    let (mut value, mut at) = (0i128, 0);
    for digit in whole.bytes().filter(|byte| *byte != b'_').chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = i128::from(digit - b'0');
        if at < counted {
            value = value.checked_mul(10)?.checked_add(digit)?;
        } else if at == counted && digit >= 5 {
            value = value.checked_add(1)?;
        }
        at += 1;
    }
    if value != 0 && at < counted {
        let power = u32::try_from(counted - at).ok()?;
        value = 10i128.checked_pow(power).and_then(|power| value.checked_mul(power))?;
    }
    Some(if negative { -value } else { value })
}

/// A decimal as text. One that has all its digits after the point has none before it, as in DuckDB: `.005`.
pub(crate) fn write_decimal(value: i128, digits: u8, scale: i8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let value = value.unsigned_abs();
    let Some(after) = usize::try_from(scale).ok().filter(|after| *after > 0) else { return format!("{sign}{value}") };
    let before = usize::from(i16::from(digits) > i16::from(scale));
    let written = format!("{value:0>width$}", width = after + before);
    let (whole, fraction) = written.split_at(written.len() - after);
    format!("{sign}{whole}.{fraction}")
}

/// The nearest DOUBLE to a decimal.
///
/// A division of two numbers that are whole and exact is rounded once. Others are read from their digits: what is
/// rounded before it is divided, and again after it, may end up one off.
pub(crate) fn decimal_to_double(value: i128, scale: i8) -> f64 {
    match exact_power(value, scale, f64::MANTISSA_DIGITS, 22) {
        Some(power) => value as f64 / power as f64,
        None => digits_of(value, scale).parse().unwrap_or(f64::NAN),
    }
}

/// The nearest FLOAT to a decimal.
pub(crate) fn decimal_to_float(value: i128, scale: i8) -> f32 {
    match exact_power(value, scale, f32::MANTISSA_DIGITS, 10) {
        Some(power) => value as f32 / power as f32,
        None => digits_of(value, scale).parse().unwrap_or(f32::NAN),
    }
}

/// The power of ten that a decimal is divided by, where a float of so many bits holds both exactly.
fn exact_power(value: i128, scale: i8, bits: u32, scale_max: i8) -> Option<i128> {
    let is_exact = value.unsigned_abs() <= 1 << bits && (0..=scale_max).contains(&scale);
    power_of_ten(scale.unsigned_abs().into()).filter(|_| is_exact)
}

fn digits_of(value: i128, scale: i8) -> String {
    format!("{value}e{}", -i16::from(scale))
}

/// The shortest digits that are read back as the same number, with an exponent.
///
/// Where two of them are equally near, that with an even last digit is taken.
pub(crate) fn scientific(value: f64) -> String {
    unless_halfway(format!("{value:e}"), f64::DIGITS as usize, |digits| {
        let even = format!("{value:.*e}", digits - 1);
        even.parse().is_ok_and(|read: f64| read == value).then_some(even)
    })
}

/// The same for a FLOAT, which DuckDB writes with all its digits where two shorter texts are equally near.
pub(crate) fn scientific_single(value: f32) -> String {
    unless_halfway(format!("{value:e}"), f32::DIGITS as usize, |digits| {
        let longer = format!("{value:.digits$e}");
        let ends_halfway = longer.split_once('e').is_some_and(|(mantissa, _)| mantissa.ends_with('5'));
        // A DOUBLE tells whether there are digits after the 5.
        (ends_halfway && longer.parse().is_ok_and(|read: f64| read == f64::from(value))).then_some(longer)
    })
}

/// The shortest text of a number, or another one where the number may lie halfway between two of them. It does not
/// where there are fewer digits than any text keeps: those two would be two numbers.
fn unless_halfway(shortest: String, digits_kept: usize, other: impl Fn(usize) -> Option<String>) -> String {
    let digits = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    if digits < digits_kept {
        return shortest;
    }
    other(digits).unwrap_or(shortest)
}

/// From the shortest digits with an exponent: plain from 1e-4 up to 1e16, else `1e+16`.
pub(crate) fn write_float(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific.to_lowercase() };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_with_their_shortest_digits() {
        let written = |value: f64| write_float(&scientific(value));
        let values = [0.1, 1.0, -2.5, 1e15, 1e16, 1e-4, 1e-5, 123.456, 0.0, -0.0, f64::INFINITY, f64::NAN];
        let texts = [
            "0.1",
            "1.0",
            "-2.5",
            "1000000000000000.0",
            "1e+16",
            "0.0001",
            "1e-05",
            "123.456",
            "0.0",
            "-0.0",
            "inf",
            "nan",
        ];
        assert_eq!(values.map(written), texts);
    }

    #[test]
    fn of_two_shortest_texts_the_even_one_is_written_and_of_a_float_all_digits() {
        for (value, text) in [
            (865_037_895_822_219.25, "865037895822219.2"),
            (865_037_895_822_219.75, "865037895822219.8"),
            (-562_949_953_421_312.75, "-562949953421312.8"),
            (0.3, "0.3"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(write_float(&scientific(value)), text);
        }
        for (value, text) in [
            (1_234_567.25, "1234567.25"),
            (47_573.062_5, "47573.0625"),
            (38_839.312_5, "38839.3125"),
            (0.1, "0.1"),
            (16_777_216.0, "16777216.0"),
            (3.4e38, "3.4e+38"),
        ] {
            assert_eq!(write_float(&scientific_single(value)), text);
        }
    }

    #[test]
    fn decimals_become_the_nearest_floats() {
        assert_eq!(decimal_to_double(74_608_774_521_315_000, 3), 74_608_774_521_315.0);
        assert_eq!(decimal_to_double(11 * 10i128.pow(29), 30), 1.1);
        assert_eq!(decimal_to_double(90_071_992_547_409_930_000, 4), 9_007_199_254_740_992.0);
        assert_eq!(decimal_to_double(-25, 1), -2.5);
        assert_eq!(decimal_to_float(1_677_721_700_000_001, 8), 16_777_218.0);
        assert_eq!(decimal_to_float(11 * 10i128.pow(29), 30), 1.1);
        for (value, scale) in [(1, 38), (i128::MAX, 0), (123_456_789_012_345_678_901_234_567_890, 17), (7, 3)] {
            let written = format!("{value}e-{scale}");
            assert_eq!(decimal_to_double(value, scale), written.parse().unwrap(), "{written}");
            assert_eq!(decimal_to_float(value, scale), written.parse().unwrap(), "{written}");
        }
    }

    #[test]
    fn decimals_are_written_with_the_digits_of_their_type() {
        assert_eq!(write_decimal(5, 3, 3), ".005");
        assert_eq!(write_decimal(-5, 3, 3), "-.005");
        assert_eq!(write_decimal(5, 4, 3), "0.005");
        assert_eq!(write_decimal(-1250, 4, 2), "-12.50");
        assert_eq!(write_decimal(7, 1, 0), "7");
    }

    #[test]
    fn points_move_and_halves_go_away_from_zero() {
        assert_eq!(moved(25, -1), Some(3));
        assert_eq!(moved(-25, -1), Some(-3));
        assert_eq!(moved(24, -1), Some(2));
        assert_eq!(moved(1, -40), Some(0));
        assert_eq!(read_exact("1.55e1", 0), Some(16));
        assert_eq!(read_exact("1__0", 0), None);
    }

    #[test]
    fn every_digit_that_fits_counts_and_the_next_one_rounds() {
        let pi = "3.1415926535897932384626433832795028842";
        assert_eq!(read_exact(pi, 37), Some(31_415_926_535_897_932_384_626_433_832_795_028_842));
        assert_eq!(
            read_exact("9.8765432109876543210987654321098765432e37", 0),
            Some(98_765_432_109_876_543_210_987_654_321_098_765_432)
        );
        let e = "2.7182818284590452353602874713526624978";
        assert_eq!(read_exact(e, 36), Some(2_718_281_828_459_045_235_360_287_471_352_662_498));
        let nines = "9.9999999999999999999999999999999999996";
        assert_eq!(read_exact(nines, 36), Some(10_i128.pow(37)));
        assert_eq!((read_exact("0.05", 0), read_exact("0.5", 0), read_exact("-.5", 0)), (Some(0), Some(1), Some(-1)));
        assert_eq!((read_exact("0e999999999", 0), read_exact("1e-999999999", 2)), (Some(0), Some(0)));
        assert_eq!((read_exact("1e1_0", 0), read_exact("1e_1", 0)), (Some(10_000_000_000), None));
        assert_eq!((read_exact("_1", 0), read_exact("1_", 0), read_exact("1_0.5", 1)), (None, None, Some(105)));
    }

    #[test]
    fn the_spaces_of_ascii_alone_stand_around_numbers() {
        assert_eq!(
            (read_exact(" 5\t", 0), read_whole("\u{b}5"), read_float::<f64>(" 1_0 ")),
            (Some(5), Some(5), Some(10.0))
        );
        assert_eq!(
            (read_exact("\u{a0}5", 0), read_whole("5\u{3000}"), read_float::<f64>("\u{a0}5")),
            (None, None, None)
        );
    }

    #[test]
    fn digits_beyond_the_range_count_where_the_exponent_moves_them_after_the_point() {
        let forty = "1234567890123456789012345678901234567890";
        assert_eq!(read_exact(&format!("{forty}e-30"), 0), Some(1_234_567_890));
        assert_eq!(read_exact(&format!("-{forty}.25e-30"), 2), Some(-123_456_789_012));
        assert_eq!(read_exact(&format!("{forty}5e-30"), 3), Some(12_345_678_901_235));
        assert_eq!(read_exact(&format!("{forty}e-1"), 0), Some(123_456_789_012_345_678_901_234_567_890_123_456_789));
        assert_eq!(
            read_exact("1234567890123456789012345678901234567896e-1", 0),
            Some(123_456_789_012_345_678_901_234_567_890_123_456_790)
        );
        assert_eq!(read_exact(forty, 0), None);
        assert_eq!(read_exact(&format!("{forty}e-41"), 0), Some(0));
        assert_eq!(read_exact(&format!("6{forty}e-41"), 0), Some(1));
        assert_eq!(read_exact(&"9".repeat(60), 0), None);
        assert_eq!(read_exact(&format!("{}e-59", "9".repeat(60)), 0), Some(10));
    }
}
