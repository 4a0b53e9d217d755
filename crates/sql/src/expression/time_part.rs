//! The parts and units of a time, and what they are of a time or between two.

use super::calendar::{self, DAY, HOUR, MINUTE, SECOND};
use super::scope::{Problem, suggest};

/// A unit of time or a part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    YearWeek,
    Epoch,
}

/// The parts by their names; the first of each is what it is called.
const PARTS: [(Part, &[&str]); 19] = [
    (Part::Microsecond, &["microsecond", "microseconds", "us", "usec", "usecs", "usecond", "useconds"]),
    (Part::Millisecond, &["millisecond", "milliseconds", "ms", "msec", "msecs", "msecond", "mseconds"]),
    (Part::Second, &["second", "seconds", "s", "sec", "secs"]),
    (Part::Minute, &["minute", "minutes", "m", "min", "mins"]),
    (Part::Hour, &["hour", "hours", "h", "hr", "hrs"]),
    (Part::Day, &["day", "days", "d", "dayofmonth"]),
    (Part::Week, &["week", "weeks", "w", "weekofyear"]),
    (Part::Month, &["month", "months", "mon", "mons"]),
    (Part::Quarter, &["quarter", "quarters"]),
    (Part::Year, &["year", "years", "y", "yr", "yrs"]),
    (Part::Decade, &["decade", "decades", "dec", "decs"]),
    (Part::Century, &["century", "centuries", "c", "cent"]),
    (Part::Millennium, &["millennium", "millennia", "millenniums", "millenium", "mil", "mils"]),
    (Part::DayOfWeek, &["dayofweek", "dow", "weekday"]),
    (Part::IsoDayOfWeek, &["isodow"]),
    (Part::DayOfYear, &["dayofyear", "doy"]),
    (Part::IsoYear, &["isoyear"]),
    (Part::YearWeek, &["yearweek"]),
    (Part::Epoch, &["epoch"]),
];

/// The part that a name means.
pub(crate) fn part(name: &str) -> Result<Part, Problem> {
    let lower = name.to_ascii_lowercase();
    if let Some((part, _)) = PARTS.iter().find(|(_, names)| names.contains(&lower.as_str())) {
        return Ok(*part);
    }
    let problem = Problem::new(format!("\"{name}\" is not a part of a time")).found(name);
    Err(suggest(problem, name, PARTS.iter().map(|(_, names)| names[0])))
}

impl Part {
    /// A name by which it can be asked for.
    pub(crate) fn name(self) -> &'static str {
        PARTS.iter().find(|(part, _)| *part == self).map_or("part", |(_, names)| names[0])
    }

    /// The length of units that have one.
    fn micros(self) -> Option<i64> {
        Some(match self {
            Part::Microsecond => 1,
            Part::Millisecond => 1000,
            Part::Second | Part::Epoch => SECOND,
            Part::Minute => MINUTE,
            Part::Hour => HOUR,
            Part::Day | Part::DayOfWeek | Part::IsoDayOfWeek | Part::DayOfYear => DAY,
            _ => return None,
        })
    }

    /// The length in months of the others, weeks apart.
    fn months(self) -> i64 {
        match self {
            Part::Quarter => 3,
            Part::Year | Part::IsoYear => 12,
            Part::Decade => 120,
            Part::Century => 1200,
            Part::Millennium => 12_000,
            _ => 1,
        }
    }

    pub(crate) fn of_time(self, micros: i64) -> i64 {
        let (day, time) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
        match self {
            Part::Microsecond => time % MINUTE,
            Part::Millisecond => time % MINUTE / 1000,
            Part::Second => time % MINUTE / SECOND,
            Part::Minute => time % HOUR / MINUTE,
            Part::Hour => time / HOUR,
            Part::Week => calendar::iso_week(day).1,
            Part::IsoYear => calendar::iso_week(day).0,
            Part::YearWeek => {
                let (year, week) = calendar::iso_week(day);
                year * 100 + if year > 0 { week } else { -week }
            }
            Part::DayOfWeek => (calendar::weekday(day) + 1) % 7,
            Part::IsoDayOfWeek => calendar::weekday(day) + 1,
            Part::Epoch => micros.div_euclid(SECOND),
            _ => {
                let (year, month, of_month) = calendar::date(day);
                match self {
                    Part::Day => of_month,
                    Part::Month => month,
                    Part::Quarter => (month + 2) / 3,
                    Part::Decade => year / 10,
                    // There is no century 0: the one before Christ is -1.
                    Part::Century if year > 0 => (year - 1) / 100 + 1,
                    Part::Century => year / 100 - 1,
                    Part::Millennium if year > 0 => (year - 1) / 1000 + 1,
                    Part::Millennium => year / 1000 - 1,
                    Part::DayOfYear => day - calendar::days(year, 1, 1) + 1,
                    _ => year,
                }
            }
        }
    }

    pub(crate) fn of_length(self, micros: i64) -> Option<i64> {
        let time = micros % DAY;
        Some(match self {
            Part::Microsecond => time % MINUTE,
            Part::Millisecond => time % MINUTE / 1000,
            Part::Second => time % MINUTE / SECOND,
            Part::Minute => time % HOUR / MINUTE,
            Part::Hour => time / HOUR,
            Part::Day => micros / DAY,
            _ => return None,
        })
    }

    pub(crate) fn truncate(self, micros: i64) -> Option<i64> {
        if let Some(unit) = self.micros() {
            return Some(micros - micros.rem_euclid(unit));
        }
        let day = micros.div_euclid(DAY);
        let first = match self {
            Part::Week | Part::YearWeek => day - calendar::weekday(day),
            Part::IsoYear => {
                let (year, _) = calendar::iso_week(day);
                let fourth = calendar::days(year, 1, 4);
                fourth - calendar::weekday(fourth)
            }
            _ => {
                let (year, month, _) = calendar::date(day);
                let (year, month) = match self {
                    Part::Month => (year, month),
                    Part::Quarter => (year, (month - 1) / 3 * 3 + 1),
                    // Years before Christ are cut towards year 0, as in DuckDB.
                    Part::Decade => (year / 10 * 10, 1),
                    Part::Century => (year / 100 * 100, 1),
                    Part::Millennium => (year / 1000 * 1000, 1),
                    _ => (year, 1),
                };
                calendar::days(year, month, 1)
            }
        };
        first.checked_mul(DAY)
    }

    /// How many borders of the unit lie between two times; `None` where they are more than a BIGINT holds.
    pub(crate) fn borders(self, from: i64, to: i64) -> Option<i64> {
        match self.micros() {
            Some(unit) => to.div_euclid(unit).checked_sub(from.div_euclid(unit)),
            None => Some(self.calendar_borders(from, to)),
        }
    }

    /// The same of a unit that the calendar has.
    fn calendar_borders(self, from: i64, to: i64) -> i64 {
        let year_and_months = |micros: i64| {
            let (year, month, _) = calendar::date(micros.div_euclid(DAY));
            (year, year * 12 + month - 1)
        };
        let ((from_year, from_months), (to_year, to_months)) = (year_and_months(from), year_and_months(to));
        match self {
            // DuckDB counts whole weeks of days here, not Mondays.
            Part::Week | Part::YearWeek => (to.div_euclid(DAY) - from.div_euclid(DAY)) / 7,
            Part::IsoYear => calendar::iso_week(to.div_euclid(DAY)).0 - calendar::iso_week(from.div_euclid(DAY)).0,
            Part::Year => to_year - from_year,
            // Before Christ these are cut towards year 0, as in DuckDB.
            Part::Decade => to_year / 10 - from_year / 10,
            Part::Century => to_year / 100 - from_year / 100,
            Part::Millennium => to_year / 1000 - from_year / 1000,
            _ => to_months / self.months() - from_months / self.months(),
        }
    }

    /// How many whole units fit between two times; `None` where what lies between them is more than a BIGINT of
    /// microseconds holds.
    pub(crate) fn whole(self, from: i64, to: i64) -> Option<i64> {
        let length = to.checked_sub(from);
        match self.micros() {
            Some(unit) => length.map(|length| length / unit),
            None if matches!(self, Part::Week | Part::YearWeek) => length.map(|length| length / (7 * DAY)),
            None if from > to => Some(-self.whole_months(to, from)),
            None => Some(self.whole_months(from, to)),
        }
    }

    /// The same of a unit of months, between a time and a later one.
    fn whole_months(self, from: i64, to: i64) -> i64 {
        let mut months = Part::Month.calendar_borders(from, to);
        while months > 0 && calendar::add_months(from, months).is_none_or(|after| after > to) {
            months -= 1;
        }
        months / self.months()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_the_ends_of_time_fails_where_a_number_does_not_hold_it() {
        let (first, last) = (-106_751_991 * DAY, i64::MAX - 1);
        assert_eq!((Part::Microsecond.borders(first, last), Part::Microsecond.whole(first, last)), (None, None));
        // DuckDB reckons whole units from microseconds, and refuses these too.
        assert_eq!((Part::Day.whole(first, last), Part::Week.whole(first, last)), (None, None));
        assert_eq!(
            (Part::Day.borders(first, last), Part::Year.borders(first, last)),
            (Some(213_503_982), Some(584_555))
        );
        assert_eq!((Part::Day.whole(0, DAY - 1), Part::Day.borders(0, DAY - 1)), (Some(0), Some(0)));
    }
}
