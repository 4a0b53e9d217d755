//! Dates and times as text and as their parts, for years far beyond those of any log.

use std::fmt::Write;

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Days since 1970-01-01 of a date in the Gregorian calendar.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day since 1970-01-01.
pub(crate) fn date(days: i64) -> (i64, i64, i64) {
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
pub(crate) fn days_of_month(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days(next_year, next, 1) - days(year, month, 1)
}

/// The same time of day some months later; a day that the month lacks becomes its last.
pub(crate) fn add_months(micros: i64, months: i64) -> Option<i64> {
    let (year, month, day) = date(micros.div_euclid(DAY));
    let total = year.checked_mul(12)?.checked_add(month - 1)?.checked_add(months)?;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    let day = day.min(days_of_month(year, month));
    days(year, month, day).checked_mul(DAY)?.checked_add(micros.rem_euclid(DAY))
}

/// ISO 8601: the year that the week belongs to, and the week.
pub(crate) fn iso_week(day: i64) -> (i64, i64) {
    let thursday = day - weekday(day) + 3;
    let (year, ..) = date(thursday);
    (year, (thursday - days(year, 1, 1)) / 7 + 1)
}

/// 0 is Monday.
pub(crate) fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

/// A date as text.
pub(crate) fn write_date(day: i64) -> String {
    let (year, month, day) = date(day);
    if year > 0 {
        return format!("{year:04}-{month:02}-{day:02}");
    }
    format!("{:04}-{month:02}-{day:02} (BC)", 1 - year)
}

/// A timestamp as text: the fraction has as few digits as it needs.
pub(crate) fn write_timestamp(micros: i64) -> String {
    format!("{} {}", write_date(micros.div_euclid(DAY)), write_time(micros.rem_euclid(DAY)))
}

/// Hours, minutes and seconds; hours may exceed a day.
fn write_time(micros: i64) -> String {
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
pub(crate) fn write_length(micros: i64) -> String {
    let (days, rest) = (micros / DAY, micros % DAY);
    let mut text = String::new();
    if days != 0 {
        let _ = write!(text, "{days} {}", if days.abs() == 1 { "day" } else { "days" });
    }
    if rest != 0 || days == 0 {
        let sign = if rest < 0 { "-" } else { "" };
        let space = if days == 0 { "" } else { " " };
        let _ = write!(text, "{space}{sign}{}", write_time(rest.abs()));
    }
    text
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

    fn date(&mut self) -> Option<i64> {
        let year = self.number(6)?;
        let separator = self.one_of(&['-', '/'])?;
        let month = self.number(2)?;
        self.one_of(&[separator])?;
        let day = self.number(2)?;
        let known = (1..=12).contains(&month) && day >= 1 && day <= days_of_month(year, month);
        known.then(|| days(year, month, day))
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.one_of(&[':'])?;
        let minute = self.number(2)?;
        let (mut second, mut fraction) = (0, 0);
        if self.one_of(&[':']).is_some() {
            second = self.number(2)?;
            if self.one_of(&['.']).is_some() {
                fraction = self.fraction();
            }
        }
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
        let hours = self.number(2)?;
        let colon = self.one_of(&[':']).is_some();
        let minutes = if colon || !self.0.is_empty() { self.number(2)? } else { 0 };
        let offset = hours * HOUR + minutes * MINUTE;
        Some(if sign == '-' { -offset } else { offset })
    }
}

/// Reads a date; a time of day after it is read and ignored.
pub(crate) fn read_date(text: &str) -> Option<i64> {
    let mut front = Cursor(text.trim());
    let day = front.date()?;
    if front.0.is_empty() { Some(day) } else { Some(read_timestamp(text)?.0.div_euclid(DAY)) }
}

/// Reads a timestamp: its wall-clock time, and the offset from UTC that follows it.
pub(crate) fn read_timestamp(text: &str) -> Option<(i64, i64)> {
    let text = text.trim();
    if text == "epoch" {
        return Some((0, 0));
    }
    let mut front = Cursor(text);
    let day = front.date()?;
    if front.0.is_empty() {
        return Some((day.checked_mul(DAY)?, 0));
    }
    if front.one_of(&['T']).is_none() {
        front.one_of(&[' '])?;
        front.0 = front.0.trim_start();
    }
    let time = front.time()?;
    front.0 = front.0.trim_start();
    let offset = match front.0 {
        "UTC" | "GMT" => 0,
        _ => {
            let offset = front.offset()?;
            front.0.is_empty().then_some(offset)?
        }
    };
    Some((day.checked_mul(DAY)?.checked_add(time)?, offset))
}
