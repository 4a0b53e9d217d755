//! Rows and numbers as people read them.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use dataflow::Result;

/// The widest cell that is shown whole.
const CELL_WIDTH_MAX: usize = 48;

/// Rows as lines of aligned cells under a header; numbers to the right, NULL as an empty cell.
pub fn table(batches: &[RecordBatch]) -> Result<String> {
    let Some(first) = batches.first() else { return Ok(String::new()) };
    let schema = first.schema();
    let header: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let right: Vec<bool> = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
    let mut rows = Vec::new();
    for batch in batches {
        let cells = cells(batch)?;
        rows.extend(
            (0..batch.num_rows()).map(|row| cells.iter().map(|column| column[row].clone()).collect::<Vec<_>>()),
        );
    }
    Ok(align(&header, &right, &rows))
}

/// Lines of aligned cells under a header.
pub fn align(header: &[String], right: &[bool], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0).min(CELL_WIDTH_MAX)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    for (line, cells) in [header, rule.as_slice()].into_iter().chain(rows.iter().map(Vec::as_slice)).enumerate() {
        let padded: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| pad(cell, widths[column], right.get(column) == Some(&true) && line != 1))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn pad(cell: &str, width: usize, right: bool) -> String {
    let cell: String = if cell.chars().count() > width {
        cell.chars().take(width - 1).chain(['…']).collect()
    } else {
        cell.to_owned()
    };
    if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
}

/// The cells of each column as text, as CAST gives it; NULL is empty.
pub fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let column = |column: &ArrayRef| -> Result<Vec<String>> {
        let texts = values::texts(column)?;
        Ok(texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
    };
    batch.columns().iter().map(column).collect()
}

/// A whole number with thousands apart: 336,776.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A number of bytes with a unit: 12.5 MiB.
pub fn bytes(bytes: usize) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{amount:.1} {}", units[unit]) }
}

/// A length of time: 0.8 s, 12 s, 3 min 5 s.
pub fn duration(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", length.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(336_776), "336,776");
        assert_eq!(count(-12), "-12");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(bytes(13_107_200), "12.5 MiB");
        assert_eq!(duration(std::time::Duration::from_millis(185_000)), "3 min 5 s");
    }

    #[test]
    fn cells_are_aligned() {
        let header = ["name".to_owned(), "rows".to_owned()];
        let rows = [vec!["departures".to_owned(), "7".to_owned()], vec!["w".to_owned(), "1234".to_owned()]];
        assert_eq!(
            align(&header, &[false, true], &rows),
            "name        rows\n----------  ----\ndepartures     7\nw           1234\n"
        );
    }
}
