//! Parquet files of every physical type.

use crate::answers::{Answer, column};
use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The forms of the table that are physical types.
pub const FORMS: [&str; 17] = [
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "decimal", "bool",
    "date", "micros", "millis", "nanos", "int96",
];

const AT: i64 = 1_704_067_200_000_000;

/// A file with a column for each type, in which the row of an answer has its value in the column of its type.
pub fn write(path: &Path, form: &str, answers: &[Answer], types: &[&str]) {
    if form == "int96" {
        return write_int96(path, answers, types);
    }
    let ids = Int64Array::from_iter_values(0..answers.len() as i64);
    let at = TimestampMicrosecondArray::from_iter_values(answers.iter().map(|_| AT));
    let mut columns: Vec<(String, ArrayRef)> = vec![("id".to_owned(), Arc::new(ids)), ("at".to_owned(), Arc::new(at))];
    for of in types {
        let values: Vec<_> =
            answers.iter().map(|answer| (answer.data_type == *of).then_some(answer.spelling.as_str())).collect();
        columns.push((column(of), array(form, &values)));
    }
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let rows = rows.expect("the columns fit");
    let file = File::create(path).expect("the file can be made");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).expect("the file can be written");
    writer.write(&rows).expect("the file can be written");
    writer.close().expect("the file can be written");
}

fn array(form: &str, values: &[Option<&str>]) -> ArrayRef {
    let integers =
        || Arc::new(values.iter().map(|v| v.map(|v| v.parse().expect("an integer"))).collect::<Int64Array>());
    let float = |text: &str| text.parse::<f64>().expect("a number");
    let as_type = |array: ArrayRef, data_type: DataType| cast(&array, &data_type).expect("the values fit");
    match form {
        "text" => Arc::new(values.iter().collect::<StringArray>()),
        "bool" => Arc::new(values.iter().map(|v| v.map(|v| v == "true")).collect::<BooleanArray>()),
        "float" => Arc::new(values.iter().map(|v| v.map(|v| float(v) as f32)).collect::<Float32Array>()),
        "double" => Arc::new(values.iter().map(|v| v.map(float)).collect::<Float64Array>()),
        "decimal" => {
            let scaled = values.iter().map(|v| v.map(|v| v.parse::<i128>().expect("an integer")));
            let decimals = scaled.collect::<Decimal128Array>().with_precision_and_scale(18, 3);
            Arc::new(decimals.expect("the values fit"))
        }
        "date" => as_type(as_type(integers(), DataType::Int32), DataType::Date32),
        "micros" => as_type(integers(), DataType::Timestamp(TimeUnit::Microsecond, None)),
        "millis" => as_type(integers(), DataType::Timestamp(TimeUnit::Millisecond, None)),
        "nanos" => as_type(integers(), DataType::Timestamp(TimeUnit::Nanosecond, None)),
        // 2^64 - 1 is no i64.
        "uint64" => as_type(array("text", values), DataType::UInt64),
        "int8" => as_type(integers(), DataType::Int8),
        "int16" => as_type(integers(), DataType::Int16),
        "int32" => as_type(integers(), DataType::Int32),
        "int64" => integers(),
        "uint8" => as_type(integers(), DataType::UInt8),
        "uint16" => as_type(integers(), DataType::UInt16),
        "uint32" => as_type(integers(), DataType::UInt32),
        other => panic!("{other} is no physical type"),
    }
}

/// Timestamps as older programs write them: nanoseconds of the day, and a day.
fn write_int96(path: &Path, answers: &[Answer], types: &[&str]) {
    const DAY: i64 = 86_400_000_000;
    const JULIAN_1970: i64 = 2_440_588;
    let int96 = |micros: i64| {
        let (day, nanos) = (micros.div_euclid(DAY) + JULIAN_1970, micros.rem_euclid(DAY) * 1000);
        let mut value = Int96::new();
        value.set_data(nanos as u32, (nanos >> 32) as u32, day as u32);
        value
    };
    let columns: String = types.iter().map(|of| format!("optional int96 {};", column(of))).collect();
    let schema = format!("message rows {{ required int64 id; required binary at (UTF8); {columns} }}");
    let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
    let file = File::create(path).expect("the file can be made");
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).expect("the file can be written");
    let mut group = writer.next_row_group().expect("the file can be written");
    let written = "the file can be written";
    let ids: Vec<i64> = (0..answers.len() as i64).collect();
    let mut chunk = group.next_column().expect(written).expect("a column");
    chunk.typed::<Int64Type>().write_batch(&ids, None, None).expect(written);
    chunk.close().expect(written);
    let at: Vec<_> = answers.iter().map(|_| ByteArray::from("2024-01-01T00:00:00Z")).collect();
    let mut chunk = group.next_column().expect(written).expect("a column");
    chunk.typed::<ByteArrayType>().write_batch(&at, None, None).expect(written);
    chunk.close().expect(written);
    for of in types {
        let own = |answer: &&Answer| answer.data_type == *of;
        let values = answers.iter().filter(own).map(|answer| int96(answer.spelling.parse().expect("an integer")));
        let levels: Vec<i16> = answers.iter().map(|answer| own(&answer).into()).collect();
        let mut chunk = group.next_column().expect(written).expect("a column");
        chunk.typed::<Int96Type>().write_batch(&values.collect::<Vec<_>>(), Some(&levels), None).expect(written);
        chunk.close().expect(written);
    }
    group.close().expect(written);
    writer.close().expect(written);
}
