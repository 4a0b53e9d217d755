//! The names of types.

use arrow::datatypes::DataType;

/// So many fields of a STRUCT stand in its name.
const FIELDS_SHOWN: usize = 20;

/// The type's name in SQL.
pub fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "UTINYINT".into(),
        DataType::UInt16 => "USMALLINT".into(),
        DataType::UInt32 => "UINTEGER".into(),
        DataType::UInt64 => "UBIGINT".into(),
        DataType::Float16 | DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(digits, scale) => format!("DECIMAL({digits},{scale})"),
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal256(digits, scale) => {
            format!("DECIMAL({digits},{scale})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "BLOB".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".into(),
        DataType::Duration(_) | DataType::Interval(_) => "INTERVAL".into(),
        DataType::List(of)
        | DataType::LargeList(of)
        | DataType::ListView(of)
        | DataType::LargeListView(of)
        | DataType::FixedSizeList(of, _) => format!("{}[]", name(of.data_type())),
        DataType::Struct(fields) => {
            let mut parts: Vec<String> =
                fields.iter().take(FIELDS_SHOWN).map(|of| format!("{} {}", of.name(), name(of.data_type()))).collect();
            if fields.len() > FIELDS_SHOWN {
                parts.push(format!("and {} more", fields.len() - FIELDS_SHOWN));
            }
            format!("STRUCT({})", parts.join(", "))
        }
        DataType::Map(..) => "MAP".into(),
        DataType::Union(..) => "UNION".into(),
        DataType::Dictionary(_, of) => name(of),
        DataType::RunEndEncoded(_, of) => name(of.data_type()),
    }
}

/// The name that is meant among several: the exact one, or else the only one that differs in the case of letters
/// alone; two of those are an error.
pub fn find_name<'a>(names: impl Iterator<Item = &'a str>, wanted: &str) -> Result<Option<usize>, [String; 2]> {
    let mut found: Option<(usize, &str)> = None;
    let mut ambiguous = None;
    for (at, name) in names.enumerate() {
        if name == wanted {
            return Ok(Some(at));
        }
        if name.eq_ignore_ascii_case(wanted) {
            match found {
                None => found = Some((at, name)),
                Some((_, other)) => ambiguous = Some([other.to_owned(), name.to_owned()]),
            }
        }
    }
    ambiguous.map_or(Ok(found.map(|(at, _)| at)), Err)
}
