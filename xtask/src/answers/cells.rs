//! The columns of random streams, values for them that are likely to be treated wrongly, and how they are written.

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use dataflow::{EventTime, Result};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tests::Chance;

/// What a column holds, as far as it matters for what may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A BIGINT that can be multiplied by a small number.
    Integer,
    /// A BIGINT of any size.
    Large,
    /// A DOUBLE whose sums lose nothing worth telling.
    Double,
    /// A DOUBLE of any size.
    Extreme,
    /// A DOUBLE whose last digits hang on the order in which values were added: it is only carried along.
    Rounded,
    Boolean,
    Text,
    /// A TIMESTAMP; the time column of its stream is one.
    Instant,
    /// A TIMESTAMP that stands in the data as text, so that it may be of any year.
    WrittenInstant,
}

impl Kind {
    /// The type's name in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Kind::Integer | Kind::Large => "BIGINT",
            Kind::Double | Kind::Extreme | Kind::Rounded => "DOUBLE",
            Kind::Boolean => "BOOLEAN",
            Kind::Text => "TEXT",
            Kind::Instant | Kind::WrittenInstant => "TIMESTAMP",
        }
    }
}

/// The columns of every stream. The first is the id of a row, the second its time.
pub const COLUMNS: [(&str, Kind); 11] = [
    ("id", Kind::Integer),
    ("ts", Kind::Instant),
    ("k", Kind::Text),
    ("g", Kind::Integer),
    ("v", Kind::Integer),
    ("f", Kind::Double),
    ("e", Kind::Extreme),
    ("b", Kind::Boolean),
    ("large", Kind::Large),
    ("t", Kind::Text),
    ("d", Kind::WrittenInstant),
];

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Integer(i64),
    Double(f64),
    Boolean(bool),
    Text(String),
    Instant(i64),
}

const DAYS: [&str; 8] = [
    "0001-01-01 00:00:00",
    "9999-12-31 23:59:59.999999",
    "1677-09-21 00:12:43.145223",
    "2262-04-11 23:47:16.854776",
    "1969-12-31 23:59:59.999999",
    "2024-02-29 12:00:00",
    "200000-01-01 00:00:00",
    "5000-01-01 (BC) 00:00:00",
];

const LARGE: [i64; 8] = [i64::MIN, i64::MIN + 1, -1, 0, 1, 1 << 53, (1 << 53) + 1, i64::MAX];

const EXTREME: [f64; 11] = [
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    1e300,
    -1e-300,
    0.1,
    -0.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

/// What values may be.
#[derive(Clone, Copy, Debug)]
pub struct Taste {
    /// NaN and infinities are among the doubles that are summed.
    pub wild: bool,
    /// No text is empty, since CSV has none that is.
    pub full_texts: bool,
}

/// A row with an id and a time.
pub fn row(chance: &mut Chance, id: i64, time: i64, taste: Taste) -> Vec<Cell> {
    let key = chance.of(&["a", "b", "c", "A", "ü,\"x\"", "a\tb", ""]);
    let mut row = vec![
        Cell::Integer(id),
        Cell::Instant(time),
        text(key, taste),
        Cell::Integer(chance.between(1, 4)),
        Cell::Integer(chance.of(&[0, 1, 2, 3, -7, 1_000_000])),
        Cell::Double(double(chance, taste)),
        Cell::Double(chance.of(&EXTREME)),
        Cell::Boolean(chance.permille(500)),
        Cell::Integer(chance.of(&LARGE)),
        text(&deep_text(chance), taste),
        Cell::Text(chance.of(&DAYS).to_owned()),
    ];
    for cell in &mut row[2..] {
        if chance.permille(120) {
            *cell = Cell::Null;
        }
    }
    row
}

fn text(text: &str, taste: Taste) -> Cell {
    if taste.full_texts && text.is_empty() { Cell::Null } else { Cell::Text(text.to_owned()) }
}

fn double(chance: &mut Chance, taste: Taste) -> f64 {
    if taste.wild && chance.permille(100) {
        return chance.of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    }
    chance.of(&[0.5, -1.25, 3.0, 0.0, 17.375, 1_000_000.1])
}

/// A text that is long, nested, quoted, of more than one line, or reads like something else.
fn deep_text(chance: &mut Chance) -> String {
    match chance.below(12) {
        0 => format!("{}{}", "[".repeat(200), "]".repeat(200)),
        1 => "{\"a\":".repeat(60) + "null" + &"}".repeat(60),
        2 => "\\\"'\\u0041\\n".to_owned(),
        3 => "two\nlines\r\nand \"quotes\", commas; and\ttabs".to_owned(),
        4 => "é e\u{301} 👩‍👩‍👧 ß İ \u{feff}".to_owned(),
        5 => "x".repeat(3000),
        6 => String::new(),
        7 => chance.of(&["NULL", "null", "NaN", "true", "-", "1e5", "007", "12"]).to_owned(),
        8 => "%_%".to_owned(),
        9 => " spaces ".to_owned(),
        _ => format!("word{}", chance.below(5)),
    }
}

/// A row as an object of JSON.
pub fn json_object(row: &[Cell]) -> String {
    let fields = COLUMNS.iter().zip(row).map(|((name, _), cell)| ((*name).to_owned(), json_value(cell)));
    Value::Object(fields.collect::<Map<_, _>>()).to_string()
}

fn json_value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(value) => json!(value),
        Cell::Double(value) if value.is_finite() => json!(value),
        Cell::Double(value) if value.is_nan() => json!("NaN"),
        Cell::Double(value) if *value > 0.0 => json!("Infinity"),
        Cell::Double(_) => json!("-Infinity"),
        Cell::Boolean(value) => json!(value),
        Cell::Text(text) => json!(text),
        Cell::Instant(micros) => json!(EventTime(*micros).to_string()),
    }
}

/// The header of a CSV file.
pub fn csv_header() -> String {
    COLUMNS.map(|(name, _)| name).join(",")
}

/// A row as a record of CSV.
pub fn csv_record(row: &[Cell]) -> String {
    let cell = |cell: &Cell| match cell {
        Cell::Null => String::new(),
        Cell::Integer(value) => value.to_string(),
        Cell::Double(value) => format!("{value:?}"),
        Cell::Boolean(value) => value.to_string(),
        Cell::Text(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        Cell::Instant(micros) => EventTime(*micros).to_string(),
    };
    row.iter().map(cell).collect::<Vec<_>>().join(",")
}

/// Rows as columns; instants of any year stay text.
pub fn columns(rows: &[&[Cell]]) -> Result<Vec<(&'static str, ArrayRef)>> {
    let column = |(at, &(name, kind)): (usize, &(&'static str, Kind))| {
        let cells = || rows.iter().map(move |row| &row[at]);
        let integer = |cell: &Cell| match cell {
            Cell::Integer(value) | Cell::Instant(value) => Some(*value),
            _ => None,
        };
        let array: ArrayRef = match kind {
            Kind::Integer | Kind::Large => Arc::new(cells().map(integer).collect::<Int64Array>()),
            Kind::Instant => Arc::new(cells().map(integer).collect::<TimestampMicrosecondArray>()),
            Kind::Double | Kind::Extreme | Kind::Rounded => Arc::new(
                cells()
                    .map(|cell| if let Cell::Double(value) = cell { Some(*value) } else { None })
                    .collect::<Float64Array>(),
            ),
            Kind::Boolean => Arc::new(
                cells()
                    .map(|cell| if let Cell::Boolean(value) = cell { Some(*value) } else { None })
                    .collect::<BooleanArray>(),
            ),
            Kind::Text | Kind::WrittenInstant => Arc::new(
                cells()
                    .map(|cell| if let Cell::Text(text) = cell { Some(text.as_str()) } else { None })
                    .collect::<StringArray>(),
            ),
        };
        (name, array)
    };
    Ok(COLUMNS.iter().enumerate().map(column).collect())
}

/// Columns as a table, of which every one may hold NULL.
pub fn table(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok(RecordBatch::try_from_iter_with_nullable(nullable)?)
}
