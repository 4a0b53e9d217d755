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
        let rows = files.open(file, &names, READ_ROWS).expect("the file opens");
        batches.extend(rows.map(|rows| rows.expect("the file can be read")));
    }
    batches
}

fn instants_as_numbers(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Timestamp(..) => arrow::compute::cast(column, &DataType::Int64).expect("an instant is a number"),
        _ => column.clone(),
    }
}
