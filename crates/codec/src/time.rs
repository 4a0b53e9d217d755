//! Timestamps as text.

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use std::str::FromStr;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// The size of a timestamp as [`put_timestamp`] writes it.
const TIMESTAMP_BYTES: usize = 27;

/// Reads an ISO 8601 timestamp as microseconds since 1970 UTC: `2013-01-01`, then perhaps a `T` or a space and a time
/// to at most nanoseconds, then perhaps `Z` or an offset. What lies below the microsecond is cut off. Without an
/// offset it is UTC.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    if let Some(micros) = parse_plain(text.as_bytes()) {
        return Some(micros);
    }
    let utc = Tz::from_str("+00:00").ok()?;
    string_to_datetime(&utc, text).ok().map(|at| at.timestamp_micros())
}

/// The most frequent form, `YYYY-MM-DD?HH:MM:SS[.f{1,6}][Z]`; `None` when the text has another form or is wrong.
fn parse_plain(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (whole, fraction) = text.split_at_checked(19)?;
    let separators = [whole[4], whole[7], whole[13], whole[16]];
    if separators != *b"--::" || !matches!(whole[10], b'T' | b' ') {
        return None;
    }
    let number = |from: usize, to: usize| {
        whole[from..to]
            .iter()
            .try_fold(0i64, |sum, &digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => {
            let value = digits
                .iter()
                .try_fold(0i64, |sum, &digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))?;
            value * 10i64.pow(6 - digits.len() as u32)
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    Some(seconds * MICROS_PER_SECOND + micros)
}

/// Writes microseconds since 1970 as `2013-01-01T05:15:00.000000Z`; false when the year has not four digits.
pub(crate) fn put_timestamp(out: &mut Vec<u8>, micros: i64) -> bool {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    if !(0..=9999).contains(&year) {
        return false;
    }
    let (second, micro) = (seconds.rem_euclid(SECONDS_PER_DAY), micros.rem_euclid(MICROS_PER_SECOND));
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let fields = [
        (0, 4, year),
        (5, 7, month),
        (8, 10, day),
        (11, 13, second / 3600),
        (14, 16, second / 60 % 60),
        (17, 19, second % 60),
        (20, TIMESTAMP_BYTES - 1, micro),
    ];
    for (from, to, mut value) in fields {
        for at in (from..to).rev() {
            text[at] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
    out.extend_from_slice(&text);
    true
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date. Years are taken to begin in March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of a number of days since 1970.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::temporal_conversions::timestamp_us_to_datetime;
    use proptest::prelude::*;

    #[test]
    fn forms_that_are_read() {
        let at = 1_357_017_300_000_000;
        for (text, micros) in [
            ("2013-01-01T05:15:00Z", at),
            ("2013-01-01 05:15:00", at),
            ("2013-01-01T05:15:00.5", at + 500_000),
            ("2013-01-01T05:15:00.123456789Z", at + 123_456),
            ("2013-01-01T07:15:00+02:00", at),
            ("2013-01-01 00:15:00 -0500", at),
            ("2013-01-01", at - (5 * 60 + 15) * 60 * MICROS_PER_SECOND),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000),
        ] {
            assert_eq!(parse_timestamp(text), Some(micros), "{text}");
        }
    }

    #[test]
    fn forms_that_are_refused() {
        for text in ["", "yesterday", "2013-02-29T00:00:00Z", "2013-01-01T25:00:00", "2013-01-01T05:15:00.Z", "12:00"] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_is_what_arrow_says(micros in -62_167_219_200_000_000i64..253_402_300_800_000_000) {
            let mut text = Vec::new();
            prop_assert!(put_timestamp(&mut text, micros));
            let text = String::from_utf8(text).unwrap();
            let expected = timestamp_us_to_datetime(micros).unwrap().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
            prop_assert_eq!(&text, &expected);
            prop_assert_eq!(parse_timestamp(&text), Some(micros));
        }
    }
}
