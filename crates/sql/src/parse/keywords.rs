//! The words of a SELECT, which are offered in place of mistyped ones.

use crate::nearest::did_you_mean;

/// Words that have a meaning by their place.
const WORDS: [&str; 52] = [
    "SELECT",
    "DISTINCT",
    "EXCLUDE",
    "FROM",
    "WHERE",
    "GROUP BY",
    "GROUP",
    "HAVING",
    "QUALIFY",
    "ORDER BY",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "UNION",
    "WINDOW",
    "OVER",
    "FILTER",
    "PARTITION BY",
    "PARTITION",
    "RANGE",
    "BETWEEN",
    "PRECEDING",
    "FOLLOWING",
    "CURRENT",
    "INTERVAL",
    "ASOF",
    "LEFT",
    "RIGHT",
    "FULL",
    "CROSS",
    "INNER",
    "OUTER",
    "JOIN",
    "USING",
    "WITH",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "EXISTS",
    "LIKE",
    "ILIKE",
    "AND",
    "NOT",
    "NULL",
    "ASC",
    "DESC",
    "NULLS",
    "FIRST",
    "LAST",
];

/// Units of time.
const UNITS: [&str; 22] = [
    "MICROSECOND",
    "MICROSECONDS",
    "MILLISECOND",
    "MILLISECONDS",
    "SECOND",
    "SECONDS",
    "MINUTE",
    "MINUTES",
    "HOUR",
    "HOURS",
    "DAY",
    "DAYS",
    "WEEK",
    "WEEKS",
    "MONTH",
    "MONTHS",
    "QUARTER",
    "QUARTERS",
    "YEAR",
    "YEARS",
    "DECADE",
    "DECADES",
];

/// The word that is meant by a mistyped one where the parser expected some; nothing for a word that is right.
pub(super) fn meant(wrong: &str, expected: &str) -> Option<String> {
    if is_known(wrong) {
        return None;
    }
    meant_of(wrong, expected).or_else(|| did_you_mean(wrong, WORDS.into_iter().chain(UNITS)))
}

/// The word that is meant among those that the parser expected, as in `PRECEDING or FOLLOWING`.
pub(super) fn meant_of(wrong: &str, expected: &str) -> Option<String> {
    let words = expected.split(|letter: char| !letter.is_ascii_uppercase()).filter(|word| word.len() > 1);
    if is_known(wrong) { None } else { did_you_mean(wrong, words) }
}

/// The unit of time that is meant by a mistyped one.
pub(super) fn unit_meant(wrong: &str) -> Option<String> {
    if is_known(wrong) { None } else { did_you_mean(wrong, UNITS.into_iter()) }
}

fn is_known(word: &str) -> bool {
    WORDS.iter().chain(&UNITS).any(|known| known.eq_ignore_ascii_case(word))
}
