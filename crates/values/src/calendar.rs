//! Dates and times as text and as their parts, for years far beyond those of any log.

/// The digits of the greatest year of a DATE.
const YEAR_DIGITS_MAX: usize = 7;

pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// The beginning of 290309-12-22 (BC), the first day that begins within 64 bits of microseconds.
const TIMESTAMP_MIN: i64 = -106_751_991 * DAY;

/// Nanoseconds as microseconds; halves go away from zero.
pub fn micros_of_nanos(nanos: i64) -> i64 {
    let (micros, rest) = (nanos / 1000, nanos % 1000);
    if rest.abs() >= 500 { micros + nanos.signum() } else { micros }
}

/// Microseconds that are a TIMESTAMP: the greatest number of them stands for infinity in DuckDB and in the files that it
/// writes, and its opposite for the other one.
#[inline]
pub fn timestamp(micros: i64) -> Option<i64> {
    (TIMESTAMP_MIN..i64::MAX).contains(&micros).then_some(micros)
}

/// Days that are a DATE: the greatest number and its opposite stand for infinity here too.
#[inline]
pub fn day(days: i64) -> Option<i32> {
    i32::try_from(days).ok().filter(|day| (-i32::MAX + 1..i32::MAX).contains(day))
}

/// Days since 1970-01-01 of a date in the Gregorian calendar.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day since 1970-01-01.
pub fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// How many days a month has.
pub fn days_of_month(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days(next_year, next, 1) - days(year, month, 1)
}

/// The same time of day some months later; a day that the month lacks becomes its last.
pub fn add_months(micros: i64, months: i64) -> Option<i64> {
    let (year, month, day) = date(micros.div_euclid(DAY));
    let total = year.checked_mul(12)?.checked_add(month - 1)?.checked_add(months)?;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    let day = day.min(days_of_month(year, month));
    days(year, month, day).checked_mul(DAY)?.checked_add(micros.rem_euclid(DAY))
}

/// ISO 8601: the year that the week belongs to, and the week.
pub fn iso_week(day: i64) -> (i64, i64) {
    let thursday = day - weekday(day) + 3;
    let (year, ..) = date(thursday);
    (year, (thursday - days(year, 1, 1)) / 7 + 1)
}

/// 0 is Monday.
pub fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

/// A date as text.
pub fn write_date(day: i64) -> String {
    let (year, month, day) = date(day);
    if year > 0 {
        return format!("{year:04}-{month:02}-{day:02}");
    }
    format!("{:04}-{month:02}-{day:02} (BC)", 1 - year)
}

/// A timestamp as text: the fraction has as few digits as it needs.
pub fn write_timestamp(micros: i64) -> String {
    format!("{} {}", write_date(micros.div_euclid(DAY)), write_time(micros.rem_euclid(DAY)))
}

/// Hours, minutes and seconds; hours may exceed a day.
pub fn write_time(micros: i64) -> String {
    let seconds = micros / SECOND;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = micros % SECOND;
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text
}

/// A length of time as text: days, then hours, minutes and seconds.
pub fn write_length(micros: i64) -> String {
    write_interval(0, micros / DAY, micros % DAY)
}

/// An interval as text: years, months and days that are not zero, then hours, minutes and seconds.
pub fn write_interval(months: i64, days: i64, micros: i64) -> String {
    let mut parts = Vec::new();
    for (count, unit) in [(months / 12, "year"), (months % 12, "month"), (days, "day")] {
        if count != 0 {
            parts.push(format!("{count} {unit}{}", if count.abs() == 1 { "" } else { "s" }));
        }
    }
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { "" };
        parts.push(format!("{sign}{}", write_time(micros.saturating_abs())));
    }
    parts.join(" ")
}

/// Reads text from its front.
struct Cursor<'a>(&'a str);

impl Cursor<'_> {
    fn number(&mut self, digits_max: usize) -> Option<i64> {
        let count = self.0.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
        let value = self.0[..count].parse().ok()?;
        self.0 = &self.0[count..];
        Some(value)
    }

    fn one_of(&mut self, options: &[char]) -> Option<char> {
        let first = self.0.chars().next().filter(|first| options.contains(first))?;
        self.0 = &self.0[first.len_utf8()..];
        Some(first)
    }

    /// Days since 1970. Years before 1 have a sign, or `(BC)` after the day.
    fn date(&mut self) -> Option<i64> {
        let sign = if self.one_of(&['-']).is_some() { -1 } else { 1 };
        let year = sign * self.number(YEAR_DIGITS_MAX)?;
        let separator = self.one_of(&['-', '/'])?;
        let month = self.number(2)?;
        self.one_of(&[separator])?;
        let day = self.number(2)?;
        let year = match self.0.strip_prefix(" (BC)") {
            Some(_) if year < 1 => return None,
            Some(rest) => {
                self.0 = rest;
                1 - year
            }
            None => year,
        };
        let known = (1..=12).contains(&month) && day >= 1 && day <= days_of_month(year, month);
        known.then(|| days(year, month, day))
    }

    /// What follows a date: the time of day, and the offset from UTC.
    fn time_and_offset(&mut self) -> Option<(i64, i64)> {
        if self.one_of(&['T']).is_none() {
            self.one_of(&[' '])?;
        }
        self.0 = self.0.trim_start();
        let time = self.time()?;
        self.0 = self.0.trim();
        let offset = match self.0 {
            "UTC" | "GMT" => 0,
            _ => {
                let offset = self.offset()?;
                self.0.is_empty().then_some(offset)?
            }
        };
        Some((time, offset))
    }

    /// A time of day, which may end with the colon that would lead to its minutes or seconds.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.one_of(&[':'])?;
        let minute = self.number(2);
        let second = minute.and_then(|_| self.one_of(&[':'])).and_then(|_| self.number(2));
        let point = second.and_then(|_| self.one_of(&['.']));
        let fraction = point.map_or(0, |_| self.fraction());
        let (minute, second) = (minute.unwrap_or(0), second.unwrap_or(0));
        let micros = hour * HOUR + minute * MINUTE + second * SECOND + fraction;
        (hour <= 24 && minute < 60 && second < 60 && micros <= DAY).then_some(micros)
    }

    fn fraction(&mut self) -> i64 {
        let count = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let mut digits = self.0[..count.min(6)].to_string();
        self.0 = &self.0[count..];
        while digits.len() < 6 {
            digits.push('0');
        }
        digits.parse().unwrap_or(0)
    }

    fn offset(&mut self) -> Option<i64> {
        if self.one_of(&['Z']).is_some() {
            return Some(0);
        }
        let Some(sign) = self.one_of(&['+', '-']) else { return Some(0) };
        let hours = self.two_digits()?;
        let colon = self.one_of(&[':']).is_some();
        let minutes = if colon || !self.0.is_empty() { self.two_digits()? } else { 0 };
        let seconds = if self.one_of(&[':']).is_some() { self.two_digits()? } else { 0 };
        let offset = hours * HOUR + minutes * MINUTE + seconds * SECOND;
        Some(if sign == '-' { -offset } else { offset })
    }

    fn two_digits(&mut self) -> Option<i64> {
        let both = self.0.get(..2).filter(|both| both.bytes().all(|digit| digit.is_ascii_digit()))?;
        let value = both.parse().ok()?;
        self.0 = &self.0[2..];
        Some(value)
    }
}

/// Reads a date; a time of day after it is read and ignored.
pub fn read_date(text: &str) -> Option<i32> {
    let text = text.trim();
    if text == "epoch" {
        return Some(0);
    }
    let mut front = Cursor(text);
    let day = front.date()?;
    if !front.0.is_empty() {
        front.time_and_offset()?;
    }
    self::day(day)
}

/// Reads the wall-clock time of a timestamp, whatever offset follows it.
pub fn read_timestamp(text: &str) -> Option<i64> {
    read_parts(text).map(|(wall, _)| wall)
}

/// Reads a timestamp as an instant: an offset moves it to UTC, and without one it is in UTC.
#[inline]
pub fn read_instant(text: &str) -> Option<i64> {
    if let Some(micros) = read_plain(text.as_bytes()) {
        return Some(micros);
    }
    let (wall, offset) = read_parts(text)?;
    timestamp(wall.checked_sub(offset)?)
}

/// The wall-clock time of a timestamp, and the offset from UTC that follows it.
fn read_parts(text: &str) -> Option<(i64, i64)> {
    let text = text.trim_start();
    if text.trim_end() == "epoch" {
        return Some((0, 0));
    }
    let mut front = Cursor(text);
    let day = front.date()?;
    let (time, offset) = if front.0.is_empty() { (0, 0) } else { front.time_and_offset()? };
    timestamp(day.checked_mul(DAY)?.checked_add(time)?).map(|wall| (wall, offset))
}

/// Reads the most frequent form, `YYYY-MM-DD?HH:MM:SS[.f{1,6}][Z]`; `None` when the text has another form or is wrong.
#[inline]
fn read_plain(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (whole, fraction) = text.split_at_checked(19)?;
    let separators = [whole[4], whole[7], whole[13], whole[16]];
    if separators != *b"--::" || !matches!(whole[10], b'T' | b' ') {
        return None;
    }
    let number = |digits: &[u8]| {
        let digit = |sum: i64, &digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'));
        digits.iter().try_fold(0i64, digit)
    };
    let (year, month, day) = (number(&whole[0..4])?, number(&whole[5..7])?, number(&whole[8..10])?);
    let (hour, minute, second) = (number(&whole[11..13])?, number(&whole[14..16])?, number(&whole[17..19])?);
    let is_date = (1..=12).contains(&month) && day >= 1 && (day <= 28 || day <= days_of_month(year, month));
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => number(digits)? * 10i64.pow(6 - digits.len() as u32),
        _ => return None,
    };
    Some(days(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second * SECOND + micros)
}

/// Writes a timestamp as messages carry it: `2013-01-01T05:15:00.000000Z`, or another form that
/// [`read_instant`] reads where the year has not four digits.
pub fn put_instant(out: &mut Vec<u8>, micros: i64) {
    let (year, month, day) = date(micros.div_euclid(DAY));
    if !(0..=9999).contains(&year) {
        return out.extend_from_slice(write_timestamp(micros).as_bytes());
    }
    let (second, micro) = (micros.rem_euclid(DAY) / SECOND, micros.rem_euclid(SECOND));
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let fields = [
        (0, 4, year),
        (5, 7, month),
        (8, 10, day),
        (11, 13, second / 3600),
        (14, 16, second / 60 % 60),
        (17, 19, second % 60),
        (20, 26, micro),
    ];
    for (from, to, mut value) in fields {
        for at in (from..to).rev() {
            text[at] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_that_are_read() {
        let at = 1_357_017_300_000_000;
        for (text, micros) in [
            ("2013-01-01T05:15:00Z", at),
            ("2013-01-01 05:15", at),
            ("2013-01-01T05:15:00.123456789Z", at + 123_456),
            ("2013-01-01T07:15:00+02:00", at),
            ("2013-01-01 00:15:00 -0500", at),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000),
            ("2013-01-01 05:15:", at),
            ("2013-01-01 05:15:Z", at),
            ("2013-01-01 05:15:00.", at),
            ("2013-01-01 05:", at - 15 * MINUTE),
            ("2013-01-01 24:", at + 18 * HOUR + 45 * MINUTE),
        ] {
            assert_eq!(read_instant(text), Some(micros), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2013-02-29T00:00:00Z",
            "2013-01-01T25:00:00",
            "12:00",
            "294247-01-11",
            "2013-01-01 05",
            "2013-01-01 05::",
            "2013-01-01 05:15:.5",
            "2013-01-01 25:",
        ] {
            assert_eq!(read_instant(text), None, "{text}");
        }
    }

    #[test]
    fn years_before_christ_begin_with_the_first() {
        assert_eq!(read_date("0044-01-30 (BC)"), Some(days(-43, 1, 30) as i32));
        assert_eq!(["-0044-01-30 (BC)", "-1-01-29 (BC)", "0000-01-09 (BC)"].map(read_date), [None; 3]);
    }

    #[test]
    fn numbers_that_stand_for_infinity_are_no_times() {
        for micros in [i64::MAX, -i64::MAX, i64::MIN, TIMESTAMP_MIN - 1] {
            assert_eq!(timestamp(micros), None);
        }
        assert_eq!(write_timestamp(TIMESTAMP_MIN), "290309-12-22 (BC) 00:00:00");
        assert_eq!(timestamp(i64::MAX - 1), Some(i64::MAX - 1));
        for days in [i32::MAX, -i32::MAX, i32::MIN] {
            assert_eq!(day(days.into()), None);
        }
        assert_eq!(day((i32::MAX - 1).into()), Some(i32::MAX - 1));
    }

    #[test]
    fn intervals_are_written_in_years_months_days_and_a_time() {
        for (months, days, micros, text) in [
            (14, 0, 0, "1 year 2 months"),
            (12, 0, 0, "1 year"),
            (-14, 0, 0, "-1 year -2 months"),
            (1, -2, 3 * HOUR, "1 month -2 days 03:00:00"),
            (0, 0, 0, "00:00:00"),
            (0, 0, -1, "-00:00:00.000001"),
        ] {
            assert_eq!(write_interval(months, days, micros), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in prop_oneof![
            any::<i64>(),
            -62_167_219_200_000_000i64..253_402_300_800_000_000,
        ]) {
            prop_assume!(timestamp(micros).is_some());
            let mut text = Vec::new();
            put_instant(&mut text, micros);
            let text = String::from_utf8(text).expect("it is text");
            prop_assert_eq!(read_instant(&text), Some(micros), "{}", text);
            prop_assert_eq!(read_timestamp(&write_timestamp(micros)), Some(micros));
        }

        #[test]
        fn the_short_way_reads_as_the_long_one(micros in -62_167_219_200_000_000i64..253_402_300_800_000_000) {
            let mut text = Vec::new();
            put_instant(&mut text, micros);
            prop_assert_eq!(read_plain(&text), Some(micros));
            let text = String::from_utf8(text).expect("it is text");
            prop_assert_eq!(read_parts(&text), Some((micros, 0)));
        }
    }
}
