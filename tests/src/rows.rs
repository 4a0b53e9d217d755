//! Rows of tables as lines of text that can be compared.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use connector_iceberg::Warehouse;

const READ_ROWS: usize = 8192;

/// The rows of a table, in the sequence of their text: cells joined by `|`, instants as microseconds.
pub fn table_rows(warehouse: &Warehouse, table: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in all_rows(warehouse, table) {
        let columns: Vec<ArrayRef> = batch.columns().iter().map(instants_as_numbers).collect();
        let options = FormatOptions::default().with_null("NULL");
        let formatters: Vec<_> = columns
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("every column has a text"))
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = formatters.iter().map(|formatter| formatter.value(row).to_string()).collect();
            lines.push(cells.join("|"));
        }
    }
    lines.sort_unstable();
    lines
}

/// The rows of a table, in the sequence of its files.
pub fn all_rows(warehouse: &Warehouse, table: &str) -> Vec<RecordBatch> {
    let files = warehouse.read(table).expect("the table can be read");
    let names: Vec<String> = files.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut batches = Vec::new();
    for file in 0..files.files().len() {
        let rows = files.open(file, files.files()[file].all_groups(), &names, READ_ROWS).expect("the file opens");
        batches.extend(rows.map(|rows| rows.expect("the file can be read")));
    }
    batches
}

/// The rows of a part that are not in the whole, or not as often there. Both are in sequence.
pub fn surplus<'a>(part: &'a [String], whole: &[String]) -> Vec<&'a String> {
    let (mut rest, mut odd) = (whole.iter().peekable(), Vec::new());
    for row in part {
        while rest.next_if(|next| *next < row).is_some() {}
        if rest.next_if(|next| *next == row).is_none() {
            odd.push(row);
        }
    }
    odd
}

fn instants_as_numbers(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Timestamp(..) => arrow::compute::cast(column, &DataType::Int64).expect("an instant is a number"),
        _ => column.clone(),
    }
}

#[test]
fn a_row_that_is_there_twice_is_surplus_when_the_whole_has_it_once() {
    let rows = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
    assert_eq!(surplus(&rows("ace"), &rows("abcde")), Vec::<&String>::new());
    assert_eq!(surplus(&rows("aac"), &rows("abc")), ["a"]);
    assert_eq!(surplus(&rows("ax"), &rows("abc")), ["x"]);
}
