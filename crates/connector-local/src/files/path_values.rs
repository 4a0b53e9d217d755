//! Values that stand in the paths of files, as in `dt=2024-01-01/events.parquet`.

use arrow::array::{Array, ArrayRef, Scalar};
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::array_value_to_string;
use dataflow::Result;
use std::path::{Path, PathBuf};
use values::calendar::{read_date, read_timestamp};

/// What a path has in the place of NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The names and values of folders; `None` is NULL.
pub(super) type PathValues = Vec<(String, Option<String>)>;

/// A file, and the columns that its folders give it.
pub(super) struct FoundFile {
    pub path: PathBuf,
    pub of_path: PathValues,
}

/// The names and values of the folders of a path below another one, the outermost first.
pub(super) fn path_values(path: &Path, below: &Path) -> PathValues {
    let folders = path.strip_prefix(below).unwrap_or(path).parent().into_iter().flat_map(Path::components);
    let value = |step: std::path::Component<'_>| {
        let step = step.as_os_str().to_str()?;
        let (name, value) = step.split_once('=')?;
        let value = unescaped(value);
        Some((unescaped(name), (value != NULL).then_some(value)))
    };
    folders.filter_map(value).collect()
}

/// The type of a column of folders that nothing declares: DATE, TIMESTAMP or BIGINT where every value is one, else TEXT.
pub(super) fn path_type<'a>(values: impl Iterator<Item = &'a Option<String>>) -> DataType {
    let mut common = None;
    for own in values.flatten().map(|text| type_of(text)) {
        if *common.get_or_insert_with(|| own.clone()) != own {
            return DataType::Utf8;
        }
    }
    common.unwrap_or(DataType::Utf8)
}

fn type_of(text: &str) -> DataType {
    // A number that begins with zeros or a sign is a name: as a number it would not be written so again.
    if text.parse().is_ok_and(|number: i64| number.to_string() == text) {
        return DataType::Int64;
    }
    match text.starts_with(|first: char| first.is_ascii_digit()) && read_timestamp(text).is_some() {
        true if text.contains(':') => DataType::Timestamp(TimeUnit::Microsecond, None),
        true if read_date(text).is_some() => DataType::Date32,
        _ => DataType::Utf8,
    }
}

/// The rows of a file that have another value than the one of their folder, and why each cannot be used.
pub(super) fn contradictions(name: &str, of_path: &ArrayRef, own: &ArrayRef) -> Result<Vec<(usize, String)>> {
    let differs = distinct(own, &Scalar::new(of_path.slice(0, 1)))?;
    let rows = (0..own.len()).filter(|&row| own.is_valid(row) && differs.value(row));
    let why = |row: usize| {
        let value = array_value_to_string(own, row)?;
        let expected = if of_path.is_valid(0) { array_value_to_string(of_path, 0)? } else { "NULL".to_owned() };
        Ok((row, format!("column \"{name}\" is {value}, expected {expected} as in the name of its folder")))
    };
    rows.map(why).collect()
}

/// Text in which `%` and two digits stand for a byte that a path does not hold.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_folders_have_the_type_that_all_their_values_are_of() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        for (values, expected) in [
            (vec!["2024-01-31", "2024-02-01"], DataType::Date32),
            (vec!["2024-01-31 10:00:00", "2024-01-31T10:00:00"], micros),
            (vec!["1", "-20", NULL], DataType::Int64),
            (vec!["20240131"], DataType::Int64),
            (vec!["01", "02"], DataType::Utf8),
            (vec!["1", "2024-01-31"], DataType::Utf8),
            (vec!["2024-01-31", "2024-01-31 10:00:00"], DataType::Utf8),
            (vec!["2024-13-01"], DataType::Utf8),
            (vec!["1.5"], DataType::Utf8),
            (vec!["+5"], DataType::Utf8),
            (vec!["9999999999999999999"], DataType::Utf8),
            (vec!["epoch"], DataType::Utf8),
            (vec![""], DataType::Utf8),
            (vec![NULL], DataType::Utf8),
        ] {
            let all: Vec<_> = values.iter().map(|value| (*value != NULL).then(|| (*value).to_owned())).collect();
            assert_eq!(path_type(all.iter()), expected, "{values:?}");
        }
    }

    #[test]
    fn folders_with_names_are_values() {
        let values = path_values(
            Path::new("/of=a/data/dt=2024-01-01/city=S%C3%A3o%20Paulo/x=__HIVE_DEFAULT_PARTITION__/a=b.csv"),
            Path::new("/of=a/data"),
        );
        let expected = [("dt", Some("2024-01-01")), ("city", Some("São Paulo")), ("x", None)];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
    }
}
