//! Reads a date as brokers write it: `2026-01-31T23:59:59.999Z`, or with the offset of their time zone.

/// Milliseconds since 1970; none for what is no such date.
pub fn parse_ms(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let (clock, offset_minutes) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], offset_minutes(&time[at..])?),
        None => return None,
    };
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.splitn(3, ':');
    let (hour, minute, second) = (clock.next()?, clock.next()?, clock.next().unwrap_or("0"));
    let (hour, minute) = (hour.parse::<i64>().ok()?, minute.parse::<i64>().ok()?);
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let (second, millis) = (second.parse::<i64>().ok()?, format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?);
    let is_date = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    // Nothing is counted with before it is known to be small.
    if !is_date || !is_time || !(0..1000).contains(&millis) {
        return None;
    }
    let minutes = (days(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    let millis = (minutes * 60 + second) * 1000 + millis;
    u64::try_from(millis).ok()
}

/// `Z`, `+hh:mm`, `-hhmm` or `+hh` in minutes.
fn offset_minutes(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, digits) = (if zone.starts_with('-') { -1 } else { 1 }, zone.get(1..)?.replace(':', ""));
    let (hours, minutes) = (digits.get(..2)?.parse::<i64>().ok()?, digits.get(2..)?);
    let minutes = if minutes.is_empty() { 0 } else { minutes.parse::<i64>().ok()? };
    if !(0..24).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    Some(sign * (60 * hours + minutes))
}

/// The days from 1970 to a date: years begin in March here, so that the day that some have comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days_before = |year: i64| 365 * year + year / 4 - year / 100 + year / 400;
    days_before(year) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_brokers_are_read() {
        assert_eq!(parse_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_ms("2000-02-29T12:34:56.789Z"), Some(951_827_696_789));
        assert_eq!(parse_ms("2026-11-27T16:30:00.5+02:00"), Some(1_795_789_800_500));
        assert_eq!(parse_ms("2026-11-27T16:30:00.123456-0330"), Some(1_795_809_600_123));
        assert_eq!(parse_ms("2026-03-01T00:00Z"), Some(1_772_323_200_000));
        for far in [
            "9223372036854775807-01-01T00:00:00Z",
            "2026-9223372036854775807-01T00:00:00Z",
            "2026-01-01T9223372036854775807:00:00Z",
            "2026-01-01T00:00:00+229223372036854775807",
        ] {
            assert_eq!(parse_ms(far), None, "{far}");
        }
        for wrong in ["", "2026-11-27", "2026-11-27T16:30:00", "2026-13-27T16:30:00Z", "1969-12-31T23:59:59Z", "aTbZ"] {
            assert_eq!(parse_ms(wrong), None, "{wrong}");
        }
    }
}
