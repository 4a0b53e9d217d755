//! How the rows of a table lie in its files: PARTITION BY, SORT BY and PROPERTIES of INSERT and ARCHIVE.

use super::token_reader::TokenReader;
use crate::diagnostic::{Fault, Outcome};
use crate::nearest::did_you_mean;
use crate::statement::{Layout, Name, PartitionColumn, Property, SortColumn};
use dataflow::PartitionTransform;
use sqlparser::tokenizer::{Span, Token};

/// What can be made of a column, and whether a number comes with it.
const TRANSFORMS: [&str; 6] = ["bucket", "truncate", "year", "month", "day", "hour"];
const COLUMN: &str = "the name of a column";

/// Reads the clauses that are there, in their order.
pub(super) fn parse(reader: &mut TokenReader) -> Outcome<Layout> {
    let mut layout = Layout::default();
    if reader.take("PARTITION") {
        reader.expect("BY")?;
        layout.partition_by = listed(reader, partition_column)?;
    }
    if reader.take("SORT") {
        reader.expect("BY")?;
        layout.sort_by = listed(reader, sort_column)?;
    }
    if reader.take("PROPERTIES") {
        layout.properties = reader.in_parentheses(property)?;
    }
    if reader.is("PARTITION") || reader.is("SORT") {
        return Fault::new(reader.here(), "PARTITION BY comes first, then SORT BY, then PROPERTIES, each once").err();
    }
    Ok(layout)
}

fn listed<T>(reader: &mut TokenReader, mut item: impl FnMut(&mut TokenReader) -> Outcome<T>) -> Outcome<Vec<T>> {
    let mut items = vec![item(reader)?];
    while reader.take_token(&Token::Comma) {
        items.push(item(reader)?);
    }
    Ok(items)
}

/// `column`, `day(column)` or `bucket(16, column)`.
fn partition_column(reader: &mut TokenReader) -> Outcome<PartitionColumn> {
    let first = reader.name("the name of a column, or year, month, day, hour, bucket or truncate of one")?;
    if !reader.take_token(&Token::LParen) {
        return Ok(PartitionColumn { column: first, transform: PartitionTransform::Identity });
    }
    let Some(known) = TRANSFORMS.iter().find(|known| known.eq_ignore_ascii_case(&first.text)) else {
        let fault = Fault::new(first.span, format!("{} cuts no table into partitions", first.text));
        let fault = fault.found(first.text.as_str()).expected("year, month, day, hour, bucket or truncate");
        return match did_you_mean(&first.text, TRANSFORMS.into_iter()) {
            Some(hint) => fault.hint(hint).err(),
            None => fault.err(),
        };
    };
    let transform = match *known {
        "bucket" => PartitionTransform::Bucket(number(reader, "how many buckets there are")?),
        "truncate" => PartitionTransform::Truncate(number(reader, "how much of a value is kept")?),
        "year" => PartitionTransform::Year,
        "month" => PartitionTransform::Month,
        "day" => PartitionTransform::Day,
        _ => PartitionTransform::Hour,
    };
    let column = reader.name(COLUMN)?;
    reader.expect_token(&Token::RParen)?;
    Ok(PartitionColumn { column, transform })
}

/// The number that comes first, and the comma after it.
fn number(reader: &mut TokenReader, what: &str) -> Outcome<u32> {
    let expected = format!("a whole number from 1 to {}: {what}", i32::MAX);
    let found = match reader.peek_at(0) {
        Token::Number(text, _) => text.parse::<i32>().ok().filter(|number| *number > 0),
        _ => None,
    };
    let Some(number) = found else { return reader.unexpected(format!("expected {expected}"), expected).err() };
    reader.next();
    reader.expect_token(&Token::Comma)?;
    Ok(number.unsigned_abs())
}

fn sort_column(reader: &mut TokenReader) -> Outcome<SortColumn> {
    let column = reader.name(COLUMN)?;
    if reader.is_token(&Token::LParen) {
        let fault = Fault::new(column.span, "SORT BY takes columns as they are, and nothing that is computed of them");
        return fault
            .found(column.text.as_str())
            .expected(COLUMN)
            .hint("select it under a name, and sort by that")
            .err();
    }
    let descending = reader.take("DESC");
    if !descending {
        reader.take("ASC");
    }
    let mut nulls_first = false;
    if reader.take("NULLS") {
        nulls_first = reader.take("FIRST");
        if !nulls_first {
            reader.expect("LAST")?;
        }
    }
    Ok(SortColumn { column, descending, nulls_first })
}

/// `'name' = 'value'`, the value also as a number or as TRUE or FALSE.
fn property(reader: &mut TokenReader) -> Outcome<Property> {
    let begin = reader.here();
    let name = reader.string("the name of a property, in quotes")?;
    reader.expect_token(&Token::Eq)?;
    let end = reader.here();
    let value = match reader.peek_at(0) {
        Token::Number(text, _) => Some(text.clone()),
        Token::Minus => match reader.peek_at(1) {
            Token::Number(text, _) => Some(format!("-{text}")),
            _ => None,
        },
        Token::Word(word) if matches!(word.value.to_uppercase().as_str(), "TRUE" | "FALSE") => {
            Some(word.value.to_lowercase())
        }
        _ => None,
    };
    let value = match value {
        Some(value) => {
            reader.take_token(&Token::Minus);
            reader.next();
            value
        }
        None => reader.string("a value: a text in quotes, a number, TRUE or FALSE")?.text,
    };
    Ok(Property { name: Name { span: Span::new(begin.start, end.end), ..name }, value })
}
