//! Lists, structs and maps as text, as DuckDB writes them: `['a,b', NULL, x]`, `{'name': 1}`, `{key=1}`.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, StringArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use std::borrow::Cow;
use std::ops::Range;

/// What writes the values that are none of these.
pub(crate) type WriteLeaf<'a> = &'a dyn Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>;

/// The types of what a nested type is made of; `None` for other types.
pub(crate) fn inner_types(data_type: &DataType) -> Option<Vec<&DataType>> {
    match data_type {
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) | DataType::Map(of, _) => {
            Some(vec![of.data_type()])
        }
        DataType::Struct(fields) => Some(fields.iter().map(|field| field.data_type()).collect()),
        _ => None,
    }
}

/// The text of each row of a nested column.
pub(crate) fn texts(array: &ArrayRef, leaf: WriteLeaf) -> Result<StringArray, ArrowError> {
    match array.data_type() {
        DataType::List(_) => list(array, array.as_list::<i32>().values(), offsets(array.as_list::<i32>()), leaf),
        DataType::LargeList(_) => list(array, array.as_list::<i64>().values(), offsets(array.as_list::<i64>()), leaf),
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            list(array, array.as_fixed_size_list().values(), move |row| row * length..(row + 1) * length, leaf)
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().map(|column| inner(column, leaf));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let names: Vec<String> = fields.iter().map(|field| in_quotes(field.name())).collect();
            let one = |row| {
                let fields = names.iter().zip(&columns).map(|(name, column)| format!("{name}: {}", at(column, row)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            };
            Ok(rows(array, one))
        }
        _ => {
            let map = array.as_map();
            let (keys, values) = (inner(map.keys(), leaf)?, inner(map.values(), leaf)?);
            let one = |row: usize| {
                let entries = entries(map.value_offsets(), row);
                let entries = entries.map(|entry| format!("{}={}", at(&keys, entry), at(&values, entry)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            };
            Ok(rows(array, one))
        }
    }
}

fn list(
    array: &ArrayRef,
    elements: &ArrayRef,
    of_row: impl Fn(usize) -> Range<usize>,
    leaf: WriteLeaf,
) -> Result<StringArray, ArrowError> {
    let elements = inner(elements, leaf)?;
    Ok(rows(array, |row| {
        format!("[{}]", of_row(row).map(|element| at(&elements, element)).collect::<Vec<_>>().join(", "))
    }))
}

fn offsets<O: OffsetSizeTrait>(list: &arrow::array::GenericListArray<O>) -> impl Fn(usize) -> Range<usize> + '_ {
    |row| entries(list.value_offsets(), row)
}

fn entries<O: OffsetSizeTrait>(offsets: &[O], row: usize) -> Range<usize> {
    offsets[row].as_usize()..offsets[row + 1].as_usize()
}

/// The texts of values inside of others: those that could be taken for something else are in quotes.
fn inner(array: &ArrayRef, leaf: WriteLeaf) -> Result<StringArray, ArrowError> {
    if inner_types(array.data_type()).is_some() {
        return texts(array, leaf);
    }
    let texts = leaf(array)?;
    Ok(texts.as_string::<i32>().iter().map(|text| text.map(quoted)).collect())
}

fn rows(array: &ArrayRef, one: impl Fn(usize) -> String) -> StringArray {
    (0..array.len()).map(|row| array.is_valid(row).then(|| one(row))).collect()
}

fn at(texts: &StringArray, row: usize) -> &str {
    if texts.is_null(row) { "NULL" } else { texts.value(row) }
}

fn quoted(text: &str) -> Cow<'_, str> {
    let is_blank = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b'\t'..=b'\r' | b' '));
    let bytes = text.as_bytes();
    let is_plain = !text.is_empty()
        && !is_blank(bytes.first())
        && !is_blank(bytes.last())
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(['"', '\'', '(', ')', ',', ':', '=', '[', '\\', ']', '{', '}']);
    if is_plain { text.into() } else { in_quotes(text).into() }
}

fn in_quotes(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_could_be_something_else_are_in_quotes() {
        for plain in ["a", "a b", "nulls", "-1.5", "2020-01-01", "é", "a\nb", "a;b"] {
            assert_eq!(quoted(plain), plain);
        }
        for (text, written) in [
            ("", "''"),
            ("NuLL", "'NuLL'"),
            (" a", "' a'"),
            ("a\n", "'a\n'"),
            ("it's", "'it\\'s'"),
            ("a\\b", "'a\\\\b'"),
            ("10:00", "'10:00'"),
            ("a\"b", "'a\"b'"),
        ] {
            assert_eq!(quoted(text), written);
        }
    }
}
