//! The table of edge values, and expressions compiled over it.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use dataflow::{Batch, RowOrder};
use sql::SqlDialect;
use sql::expression::{ColumnId, Compiled, Place, Problem, Scope, ScopeColumn, compile};
use sqlparser::ast::Expr;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/expressions")
}

fn read<T: FromStr>(texts: &[&str]) -> impl Iterator<Item = Option<T>> {
    texts.iter().map(|text| match *text {
        "\\N" => None,
        text => Some(text.parse().unwrap_or_else(|_| panic!("{text} in rows.tsv"))),
    })
}

fn column(kind: &str, texts: &[&str]) -> ArrayRef {
    match kind {
        "SMALLINT" => Arc::new(read(texts).collect::<Int16Array>()),
        "INTEGER" => Arc::new(read(texts).collect::<Int32Array>()),
        "BIGINT" => Arc::new(read(texts).collect::<Int64Array>()),
        "DOUBLE" => Arc::new(read(texts).collect::<Float64Array>()),
        "FLOAT" => Arc::new(read(texts).collect::<Float32Array>()),
        "BOOLEAN" => Arc::new(read::<bool>(texts).collect::<BooleanArray>()),
        "TEXT" => Arc::new(read::<String>(texts).collect::<StringArray>()),
        "TIMESTAMP" => Arc::new(read(texts).collect::<TimestampMicrosecondArray>()),
        "DATE" => Arc::new(read(texts).collect::<Date32Array>()),
        "DECIMAL(10,2)" => {
            let cents = texts.iter().map(|text| text.replace('.', "")).collect::<Vec<_>>();
            let cents: Vec<&str> = cents.iter().map(String::as_str).collect();
            Arc::new(read(&cents).collect::<Decimal128Array>().with_precision_and_scale(10, 2).unwrap())
        }
        other => panic!("a column of {other}"),
    }
}

/// The committed rows; `_time` is the row's number in seconds.
pub fn batch() -> Batch {
    let text = std::fs::read_to_string(folder().join("rows.tsv")).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let columns = lines[0].iter().enumerate().map(|(at, header)| {
        let (name, kind) = header.split_once(' ').unwrap();
        let texts: Vec<&str> = lines[1..].iter().map(|line| line[at]).collect();
        (name, column(kind, &texts), true)
    });
    let columns = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let rows = columns.num_rows();
    let times = (0..rows as i64).map(|row| row * 1_000_000).collect();
    Batch::new(columns, times, (0..rows as u128).map(RowOrder).collect()).unwrap()
}

/// The batch's columns as stream `x`, and those beside them.
pub fn scope(batch: &Batch) -> Scope {
    let beside = |name: &str, data_type, place| ScopeColumn {
        qualifier: None,
        name: name.into(),
        data_type,
        place,
        needs_qualifier: false,
        is_used: false,
    };
    let schema = batch.schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| ScopeColumn {
        qualifier: Some("x".into()),
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        place: Place::Column(ColumnId(at)),
        needs_qualifier: false,
        is_used: false,
    });
    let time = beside("_time", DataType::Timestamp(TimeUnit::Microsecond, None), Place::Time);
    let late = beside("_late", DataType::Boolean, Place::Late);
    columns.chain([time, late]).collect()
}

/// The whole text as one expression; nothing when it is none.
pub fn read_expression(text: &str) -> Option<Expr> {
    let mut parser = Parser::new(&SqlDialect).try_with_sql(text).ok()?;
    let expr = parser.parse_expr().ok()?;
    (parser.peek_token().token == Token::EOF).then_some(expr)
}

pub fn parse(text: &str) -> Expr {
    read_expression(text).unwrap_or_else(|| panic!("{text} is no expression"))
}

pub fn compiled(text: &str, scope: &Scope) -> Result<Compiled, Problem> {
    compile(&parse(text), scope)
}
