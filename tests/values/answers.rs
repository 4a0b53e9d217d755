//! The table of answers.

use std::fmt;

/// The types that a column of a stream may have.
pub const TYPES: [&str; 9] =
    ["BIGINT", "INTEGER", "SMALLINT", "DOUBLE", "FLOAT", "BOOLEAN", "TEXT", "TIMESTAMP", "DATE"];

/// What is made of a value: nothing where it is refused, else its text or NULL.
pub type CastResult = Option<Option<String>>;

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How the value is stored.
    pub form: String,
    /// What it is to become.
    pub data_type: String,
    /// How it is written.
    pub spelling: String,
    /// What CAST makes of it.
    pub cast: CastResult,
    /// What readers make of it.
    pub readers: CastResult,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} as {}: is", self.form, self.spelling, self.data_type)
    }
}

/// All lines.
pub fn all() -> Vec<Answer> {
    let made = |cell: &str| match cell {
        "refused" => None,
        json => Some(serde_json::from_str::<Option<String>>(json).expect("an answer is JSON")),
    };
    let line = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [form, data_type, spelling, _, cast, readers, _] = cells[..] else {
            panic!("a line has seven cells: {line}")
        };
        Answer {
            form: form.to_owned(),
            data_type: data_type.to_owned(),
            spelling: serde_json::from_str(spelling).expect("a spelling is JSON"),
            cast: made(cast),
            readers: made(readers),
        }
    };
    let table = std::fs::read_to_string(tests::root().join("tests/values/answers.tsv")).expect("it is stored");
    table.lines().map(line).collect()
}

/// The lines of one form.
pub fn of_form(form: &str) -> Vec<Answer> {
    all().into_iter().filter(|answer| answer.form == form).collect()
}

/// The column that holds values of a type.
pub fn column(data_type: &str) -> String {
    format!("v_{}", data_type.to_lowercase())
}
