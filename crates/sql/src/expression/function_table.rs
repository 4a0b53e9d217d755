//! All functions of a row, in one table: what they are called, take and give, and how they are computed.
//! The lookup, the suggestions and docs/sql-functions.md are made of it.

use super::arguments::Parameter::{self, AsText, Text, Whole};
use super::arguments::{Gives, TextFunction, exactly};
use super::bound::{Bound, Fails};
use super::kernel::{Argument, KernelResult};
use super::scope::Problem;
use super::{choice, list, math, regexp, strptime, struct_field, text, time};

/// What NULL in an argument makes of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// NULL.
    Null,
    /// What the other arguments give.
    Skipped,
    /// What the function says.
    Own,
}

/// A function of a row.
pub(crate) struct Signature {
    /// Its names in lower case; plans print the first.
    pub(crate) names: &'static [&'static str],
    pub(crate) arguments: &'static str,
    pub(crate) result: &'static str,
    pub(crate) nulls: Nulls,
    /// Whether it fails on some values of its own; a failing argument fails it too.
    pub(crate) fails: Fails,
    pub(crate) help: &'static str,
    evaluator: Evaluator,
}

/// How a function is computed.
enum Evaluator {
    Texts(TextFunction),
    /// Of one DOUBLE.
    Double(fn(f64) -> f64),
    /// Of two DOUBLEs.
    Doubles(fn(f64, f64) -> f64),
    /// A condition of one DOUBLE.
    Test(fn(f64) -> bool),
    /// Of what it makes of the types of its arguments.
    Typed(fn(&str, Vec<Bound>) -> Result<Bound, Problem>),
}

use Evaluator::{Double, Doubles, Test, Typed};
use Fails::{Never, OnSome};
use Nulls::{Null, Own, Skipped};

impl Signature {
    /// The call of the function by one of its names.
    pub(crate) fn call(&self, name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
        let first = self.names[0];
        match &self.evaluator {
            Evaluator::Texts(function) => function.call(first, name, self.fails, arguments),
            Double(function) => {
                let [value] = exactly(name, arguments)?;
                math::double(first, value, *function)
            }
            Doubles(function) => {
                let [left, right] = exactly(name, arguments)?;
                math::doubles(first, left, right, *function)
            }
            Test(function) => {
                let [value] = exactly(name, arguments)?;
                math::float_test(first, value, *function)
            }
            Typed(function) => function(name, arguments),
        }
    }
}

type Kernel = fn(&[Argument], usize) -> KernelResult;

/// A function of texts. Its parameters are typed by `takes`, and shown by `arguments`.
const fn texts(
    names: &'static [&'static str],
    (arguments, takes, least): (&'static str, &'static [Parameter], usize),
    gives: Gives,
    fails: Fails,
    help: &'static str,
    kernel: Kernel,
) -> Signature {
    let evaluator = Evaluator::Texts(TextFunction { takes, least, gives, kernel });
    Signature { names, arguments, result: gives.name(), nulls: Null, fails, help, evaluator }
}

const fn joined(names: &'static [&'static str], takes: Takes, help: &'static str, kernel: Kernel) -> Signature {
    let (arguments, takes, least) = takes;
    let evaluator = Evaluator::Texts(TextFunction { takes, least, gives: TEXT, kernel });
    Signature { names, arguments, result: "TEXT", nulls: Skipped, fails: OnSome, help, evaluator }
}

const fn numbers(
    names: &'static [&'static str],
    arguments: &'static str,
    evaluator: Evaluator,
    help: &'static str,
) -> Signature {
    let result = if let Test(_) = evaluator { "BOOLEAN" } else { "DOUBLE" };
    Signature { names, arguments, result, nulls: Null, fails: Never, help, evaluator }
}

const fn typed(
    names: &'static [&'static str],
    (arguments, result): (&'static str, &'static str),
    nulls: Nulls,
    fails: Fails,
    function: fn(&str, Vec<Bound>) -> Result<Bound, Problem>,
    help: &'static str,
) -> Signature {
    Signature { names, arguments, result, nulls, fails, help, evaluator: Typed(function) }
}

type Takes = (&'static str, &'static [Parameter], usize);

const ONE: Takes = ("text", &[Text], 1);
const PART: Takes = ("text, part", &[Text, Text], 2);
const COUNTED: Takes = ("text, n", &[Text, Whole], 2);
const PADDED: Takes = ("text, n, letters", &[Text, Whole, Text], 3);
const LETTERS: Takes = ("text, letters?", &[Text, Text], 1);
const TEXT: Gives = Gives::Text;
const COUNT: Gives = Gives::BigInt;
const HOLDS: Gives = Gives::Boolean;

/// Functions of texts.
static TEXTS: [Signature; 26] = [
    texts(&["lower", "lcase"], ONE, TEXT, Never, "in lower case", |a, n| text::map(a, n, text::lower)),
    texts(&["upper", "ucase"], ONE, TEXT, Never, "in upper case", |a, n| text::map(a, n, text::upper)),
    texts(&["reverse"], ONE, TEXT, Never, "the characters from last to first", |a, n| {
        text::map(a, n, |t| t.chars().rev().collect())
    }),
    typed(
        &["length", "len", "char_length", "character_length"],
        ("text or list", "BIGINT"),
        Null,
        Never,
        list::length,
        "the number of characters, or of the values of a list",
    ),
    typed(&["array_length"], ("list", "BIGINT"), Null, Never, list::array_length, "the number of values of a list"),
    texts(&["strlen"], ONE, COUNT, Never, "the number of bytes", |a, n| text::count(a, n, |t| t.len() as i64)),
    texts(
        &["strpos", "instr", "position"],
        PART,
        COUNT,
        Never,
        "where the part begins, from 1; 0 if it does not occur",
        text::position,
    ),
    texts(&["contains"], PART, HOLDS, Never, "whether the part occurs", |a, n| text::test(a, n, |t, p| t.contains(p))),
    texts(&["starts_with", "prefix"], PART, HOLDS, Never, "whether the text begins with the part", |a, n| {
        text::test(a, n, |t, p| t.starts_with(p))
    }),
    texts(&["ends_with", "suffix"], PART, HOLDS, Never, "whether the text ends with the part", |a, n| {
        text::test(a, n, |t, p| t.ends_with(p))
    }),
    texts(
        &["substring", "substr"],
        ("text, start, length?", &[Text, Whole, Whole], 2),
        TEXT,
        Never,
        "a part; a negative start counts from the end",
        text::substring,
    ),
    texts(&["left"], COUNTED, TEXT, Never, "the first n characters; all but the last -n", |a, n| text::end(a, n, true)),
    texts(&["right"], COUNTED, TEXT, Never, "the last n characters; all but the first -n", |a, n| {
        text::end(a, n, false)
    }),
    texts(
        &["replace"],
        ("text, from, to", &[Text, Text, Text], 3),
        TEXT,
        OnSome,
        "with every `from` replaced",
        text::replace,
    ),
    texts(&["trim"], LETTERS, TEXT, Never, "without spaces, or these characters, at both ends", |a, n| {
        text::trim(a, n, true, true)
    }),
    texts(&["ltrim"], LETTERS, TEXT, Never, "the same at the beginning", |a, n| text::trim(a, n, true, false)),
    texts(&["rtrim"], LETTERS, TEXT, Never, "the same at the end", |a, n| text::trim(a, n, false, true)),
    texts(
        &["split_part"],
        ("text, separator, n", &[Text, Text, Whole], 3),
        TEXT,
        Never,
        "the n-th part, counted from 1, or from the end if negative",
        text::split_part,
    ),
    texts(&["lpad"], PADDED, TEXT, OnSome, "exactly n characters, padded at the beginning", |a, n| {
        text::pad(a, n, true)
    }),
    texts(&["rpad"], PADDED, TEXT, OnSome, "exactly n characters, padded at the end", |a, n| text::pad(a, n, false)),
    texts(&["repeat"], COUNTED, TEXT, OnSome, "repeated n times", text::repeat),
    joined(&["concat"], ("any, ..", &[AsText], 1), "joined, without NULL", |a, n| text::join(a, n, true)),
    joined(
        &["concat_ws"],
        ("separator, any, ..", &[Text, AsText], 2),
        "joined with a separator, without NULL",
        text::join_with,
    ),
    texts(
        &["ascii"],
        ONE,
        Gives::Integer,
        Never,
        "the code point of the first character; 0 if there is none",
        |a, n| text::first_letter(a, n, 0),
    ),
    texts(
        &["unicode", "ord"],
        ONE,
        Gives::Integer,
        Never,
        "the code point of the first character; -1 if there is none",
        |a, n| text::first_letter(a, n, -1),
    ),
    texts(&["chr"], ("n", &[Whole], 1), TEXT, OnSome, "the character of a code point", text::letter),
];

const PATTERN: (&str, &str) = ("text, pattern, options?", "BOOLEAN");

/// Functions of regular expressions.
static PATTERNS: [Signature; 4] = [
    typed(
        &["regexp_matches"],
        PATTERN,
        Null,
        OnSome,
        regexp::matches,
        "whether the pattern matches somewhere; options are letters: `i` letters of any case, `s` a dot is also a newline, `l` the pattern is a plain text",
    ),
    typed(&["regexp_full_match"], PATTERN, Null, OnSome, regexp::matches, "whether the pattern matches all of it"),
    typed(
        &["regexp_extract"],
        ("text, pattern, group?, options?", "TEXT"),
        Null,
        OnSome,
        regexp::extract,
        "the match, or a group of it; empty if there is none",
    ),
    typed(
        &["regexp_replace"],
        ("text, pattern, to, options?", "TEXT"),
        Null,
        OnSome,
        regexp::replace,
        "with the first match replaced; all with the option `g`",
    ),
];

/// What LIKE becomes; nobody can write these names.
static LIKES: [Signature; 4] = [
    texts(&["~~"], PART, HOLDS, Never, "LIKE", |a, n| text::like(a, n, false, None)),
    texts(&["~~*"], PART, HOLDS, Never, "ILIKE", |a, n| text::like(a, n, true, None)),
    texts(&["~~\\"], ("text, pattern, escape", &[Text, Text, Text], 3), HOLDS, OnSome, "LIKE .. ESCAPE", |a, n| {
        text::like(a, n, false, text::Texts::of(&a[2]).at(0).and_then(|escape| escape.chars().next()))
    }),
    texts(&["~~*\\"], ("text, pattern, escape", &[Text, Text, Text], 3), HOLDS, OnSome, "ILIKE .. ESCAPE", |a, n| {
        text::like(a, n, true, text::Texts::of(&a[2]).at(0).and_then(|escape| escape.chars().next()))
    }),
];

/// Functions of numbers.
static NUMBERS: [Signature; 31] = [
    typed(&["abs"], ("x", "as x"), Null, OnSome, math::numeric, "the absolute value"),
    typed(&["sign"], ("x", "TINYINT"), Null, Never, math::numeric, "-1, 0 or 1"),
    typed(&["round"], ("x, digits?", "as x"), Null, OnSome, math::numeric, "to the nearest; halves away from zero"),
    typed(&["trunc"], ("x, digits?", "as x"), Null, OnSome, math::numeric, "towards zero"),
    typed(&["floor"], ("x", "DOUBLE or as x"), Null, OnSome, math::numeric, "the whole number at or below"),
    typed(&["ceil", "ceiling"], ("x", "DOUBLE or as x"), Null, OnSome, math::numeric, "the whole number at or above"),
    typed(&["mod"], ("a, b", "as a % b"), Null, OnSome, math::numeric, "the remainder, as a % b"),
    typed(
        &["log"],
        ("base?, x", "DOUBLE"),
        Null,
        Never,
        math::numeric,
        "the logarithm, to the base 10 if none is given",
    ),
    typed(&["pi"], ("", "DOUBLE"), Null, Never, math::numeric, "3.141592653589793"),
    numbers(&["power", "pow"], "x, y", Doubles(f64::powf), "x to the y; also x ^ y and x ** y"),
    numbers(&["atan2"], "y, x", Doubles(f64::atan2), "the angle of a point"),
    numbers(&["sqrt"], "x", Double(f64::sqrt), "the square root; NaN below 0"),
    numbers(&["cbrt"], "x", Double(f64::cbrt), "the cube root"),
    numbers(&["exp"], "x", Double(f64::exp), "e to the x"),
    numbers(&["ln"], "x", Double(f64::ln), "the logarithm to the base e"),
    numbers(&["log10"], "x", Double(f64::log10), "the logarithm to the base 10"),
    numbers(&["log2"], "x", Double(f64::log2), "the logarithm to the base 2"),
    numbers(&["sin"], "x", Double(f64::sin), "the sine"),
    numbers(&["cos"], "x", Double(f64::cos), "the cosine"),
    numbers(&["tan"], "x", Double(f64::tan), "the tangent"),
    numbers(&["asin"], "x", Double(f64::asin), "the arc sine"),
    numbers(&["acos"], "x", Double(f64::acos), "the arc cosine"),
    numbers(&["atan"], "x", Double(f64::atan), "the arc tangent"),
    numbers(&["sinh"], "x", Double(f64::sinh), "the hyperbolic sine"),
    numbers(&["cosh"], "x", Double(f64::cosh), "the hyperbolic cosine"),
    numbers(&["tanh"], "x", Double(f64::tanh), "the hyperbolic tangent"),
    numbers(&["degrees"], "x", Double(|value| value * (180.0 / std::f64::consts::PI)), "radians as degrees"),
    numbers(&["radians"], "x", Double(f64::to_radians), "degrees as radians"),
    numbers(&["isnan"], "x", Test(f64::is_nan), "whether it is NaN"),
    numbers(&["isinf"], "x", Test(f64::is_infinite), "whether it is infinite"),
    numbers(&["isfinite"], "x", Test(f64::is_finite), "whether it is neither infinite nor NaN"),
];

const WHEN: &str = "time or interval";

/// Functions that choose, and functions of times.
static OTHERS: [Signature; 43] = [
    typed(&["coalesce"], ("x, ..", "as x"), Own, Never, choice::coalesce, "the first that is not NULL"),
    typed(&["ifnull"], ("x, y", "as x"), Own, Never, choice::coalesce, "x, or y where x is NULL"),
    typed(&["nullif"], ("x, y", "as x"), Own, Never, choice::null_if, "x, NULL where both are equal"),
    typed(&["greatest"], ("x, ..", "as x"), Skipped, Never, choice::extreme, "the greatest that is not NULL"),
    typed(&["least"], ("x, ..", "as x"), Skipped, Never, choice::extreme, "the least that is not NULL"),
    typed(&["if"], ("condition, x, y", "as x"), Own, Never, choice::condition, "x where it holds, else y"),
    typed(&["try"], ("x", "as x"), Null, Never, choice::attempt, "x, NULL where it fails"),
    typed(
        &["struct_extract"],
        ("s, field", "as the field"),
        Null,
        Never,
        struct_field::struct_extract,
        "the field of a STRUCT, whose name is a text; also s.field",
    ),
    typed(&["epoch"], (WHEN, "DOUBLE"), Null, Never, time::temporal, "seconds since 1970, or of the interval"),
    typed(
        &["epoch_ms"],
        ("time, interval or n", "BIGINT or TIMESTAMP"),
        Null,
        OnSome,
        time::temporal,
        "milliseconds since 1970; for a number, the time that many after 1970",
    ),
    typed(&["epoch_us"], (WHEN, "BIGINT"), Null, Never, time::temporal, "microseconds since 1970"),
    typed(&["make_timestamp"], ("n", "TIMESTAMP"), Null, OnSome, time::temporal, "n microseconds after 1970"),
    typed(
        &["strptime"],
        ("text, format", "TIMESTAMP"),
        Null,
        OnSome,
        strptime::strptime,
        "a time that is written as the format says, such as `%d/%m/%Y %H:%M`",
    ),
    typed(
        &["try_strptime"],
        ("text, format", "TIMESTAMP"),
        Null,
        Never,
        strptime::strptime,
        "the same, NULL where the text is not written so",
    ),
    typed(
        &["date_trunc", "datetrunc"],
        ("part, time", "TIMESTAMP"),
        Null,
        OnSome,
        time::temporal,
        "the beginning of its hour, day, ..",
    ),
    typed(
        &["date_part", "datepart"],
        ("part, x", "BIGINT"),
        Null,
        Never,
        time::temporal,
        "a part of a time or interval",
    ),
    typed(
        &["date_diff", "datediff"],
        ("part, from, to", "BIGINT"),
        Null,
        Never,
        time::temporal,
        "how many boundaries of the unit lie between them",
    ),
    typed(
        &["date_sub", "datesub"],
        ("part, from, to", "BIGINT"),
        Null,
        Never,
        time::temporal,
        "how many whole units lie between them",
    ),
    typed(
        &["time_bucket"],
        ("interval, time", "as time"),
        Null,
        OnSome,
        time::temporal,
        "the beginning of its bucket, counted from Monday 2000-01-03, or of months from 2000-01-01",
    ),
    part_of_time(&["year"]),
    part_of_time(&["quarter"]),
    part_of_time(&["month"]),
    part_of_time(&["week"]),
    part_of_time(&["weekofyear"]),
    part_of_time(&["day"]),
    part_of_time(&["dayofmonth"]),
    part_of_time(&["dayofweek"]),
    part_of_time(&["weekday"]),
    part_of_time(&["isodow"]),
    part_of_time(&["dayofyear"]),
    part_of_time(&["isoyear"]),
    part_of_time(&["hour"]),
    part_of_time(&["minute"]),
    part_of_time(&["second"]),
    part_of_time(&["millisecond"]),
    part_of_time(&["microsecond"]),
    interval(&["to_weeks"]),
    interval(&["to_days"]),
    interval(&["to_hours"]),
    interval(&["to_minutes"]),
    interval(&["to_seconds"]),
    interval(&["to_milliseconds"]),
    interval(&["to_microseconds"]),
];

const fn part_of_time(names: &'static [&'static str]) -> Signature {
    typed(names, (WHEN, "BIGINT"), Null, Never, time::temporal, "the part that it is named after")
}

const fn interval(names: &'static [&'static str]) -> Signature {
    typed(names, ("n", "INTERVAL"), Null, OnSome, time::interval_of, "n of that unit; also INTERVAL (n) HOURS")
}

/// All functions that can be written, in the order of the documentation.
pub(crate) fn all() -> impl Iterator<Item = &'static Signature> {
    OTHERS.iter().chain(&NUMBERS).chain(&TEXTS).chain(&PATTERNS)
}

/// The function of a name in lower case.
pub(crate) fn lookup(name: &str) -> Option<&'static Signature> {
    all().chain(&LIKES).find(|signature| signature.names.contains(&name))
}
