//! Numbers and booleans as text.

use std::str::FromStr;

/// A power of ten as an integer; `None` beyond 38 digits.
pub fn power_of_ten(digits: u32) -> Option<i128> {
    10i128.checked_pow(digits)
}

/// Moves the point of a decimal; halves go away from zero.
pub fn moved(value: i128, by: i32) -> Option<i128> {
    if by >= 0 {
        return value.checked_mul(power_of_ten(by as u32)?);
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

/// Reads a float; a number beyond its range is infinite.
pub fn read_float<T: FromStr>(text: &str) -> Option<T> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let text = text.trim();
    if !text.contains('_') {
        return text.parse().ok();
    }
    let apart = text.as_bytes().windows(3).filter(|around| around[1] == b'_');
    let fine = apart.clone().all(|around| around[0].is_ascii_digit() && around[2].is_ascii_digit());
    (fine && apart.count() == text.matches('_').count()).then(|| text.replace('_', "").parse().ok())?
}

/// Reads an integer; halves go away from zero.
pub fn read_whole(text: &str) -> Option<i128> {
    let trimmed = text.trim();
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
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut value, mut point) = (0i128, exponent.checked_add(scale)?);
    let mut last = b'_';
    // The first digit before the point that does not fit, for an exponent that moves it after the point.
    let mut beyond = None;
    for digit in whole.bytes() {
        match digit {
            b'0'..=b'9' => {
                let digit = i128::from(digit - b'0');
                match value.checked_mul(10).and_then(|more| more.checked_add(digit)).filter(|_| beyond.is_none()) {
                    Some(more) => value = more,
                    None => {
                        beyond.get_or_insert(digit);
                        point = point.checked_add(1)?;
                    }
                }
            }
            b'_' if last != b'_' => {}
            _ => return None,
        }
        last = digit;
    }
    for digit in fraction.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Digits that no decimal can hold are too small to matter.
        if value < i128::MAX / 100 && beyond.is_none() {
            value = value * 10 + i128::from(digit - b'0');
            point = point.checked_sub(1)?;
        }
    }
    if last == b'_' && !whole.is_empty() {
        return None;
    }
    let value = match beyond {
        _ if value == 0 => 0,
        Some(_) if point > 0 => return None,
        Some(first) if point == 0 => value.checked_add(i128::from(first >= 5))?,
        _ => moved(value, point)?,
    };
    Some(if negative { -value } else { value })
}

/// A decimal as text.
pub(crate) fn write_decimal(value: i128, scale: i8) -> String {
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
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
        let written = |value: f64| write_float(&format!("{value:e}"));
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
    fn points_move_and_halves_go_away_from_zero() {
        assert_eq!(moved(25, -1), Some(3));
        assert_eq!(moved(-25, -1), Some(-3));
        assert_eq!(moved(24, -1), Some(2));
        assert_eq!(moved(1, -40), Some(0));
        assert_eq!(read_exact("1.55e1", 0), Some(16));
        assert_eq!(read_exact("1__0", 0), None);
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
