//! Rows and numbers as people read them.

use crate::width;
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use dataflow::{EventTime, Fate, Result};

/// The widest cell that is shown whole.
const CELL_WIDTH_MAX: usize = 48;
/// How narrow a column of a table becomes before columns are left out.
const CELL_WIDTH_MIN: usize = 8;
/// The columns between two cells.
const GAP: usize = 2;
/// The columns of a terminal that hold what people are told.
const WIDTH: usize = 80;
/// How narrow the first column of a table becomes at most, so that the table fits.
const FIRST_WIDTH_MIN: usize = 12;
/// What the lines of a list after the first begin with.
const INDENT: &str = "  ";

/// Rows as lines of aligned cells under a header; numbers to the right, NULL as an empty cell. On a terminal of so many
/// columns cells are cut, and the last columns are named below where they have no room.
pub fn table(batches: &[RecordBatch], columns: Option<usize>) -> Result<String> {
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
    let widths = widths(&header, &rows);
    let Some(columns) = columns else { return Ok(lines(&header, &right, &rows, &widths)) };
    let widths = fitting(&widths, columns);
    if widths.len() == header.len() {
        return Ok(lines(&header, &right, &rows, &widths));
    }
    let shown = widths.len() - 1;
    let with_sign = |cells: &[String]| cells[..shown].iter().cloned().chain(["…".to_owned()]).collect::<Vec<_>>();
    let rows: Vec<_> = rows.iter().map(|row| with_sign(row)).collect();
    let right = right[..shown].to_vec();
    let names = format!("… {}: ", counted((header.len() - shown) as i64, "more column"));
    Ok(lines(&with_sign(&header), &right, &rows, &widths) + &list_in(&names, &header[shown..], ", ", columns))
}

/// The widths of the columns of a table that has so many columns of a terminal: the widest give way first. Where all of them
/// have no room, those that have, and one for the sign that stands for the others.
fn fitting(widths: &[usize], columns: usize) -> Vec<usize> {
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    let least = |widths: &[usize]| widths.iter().map(|width| (*width).min(CELL_WIDTH_MIN)).collect::<Vec<_>>();
    let mut fitting = widths.to_vec();
    if total(&least(&fitting)) > columns {
        while fitting.len() > 1 && total(&least(&fitting)) + GAP + 1 > columns {
            fitting.pop();
        }
        fitting.push(1);
    }
    let mut over = total(&fitting).saturating_sub(columns);
    while over > 0 {
        let Some(widest) = fitting.iter_mut().max_by_key(|width| **width).filter(|width| **width > 1) else { break };
        *widest -= 1;
        over -= 1;
    }
    fitting
}

/// Lines of aligned cells under a header, for a terminal: where it is too wide, names in the first column are cut.
pub fn fit(header: &[String], right: &[bool], rows: &[Vec<String>]) -> String {
    let mut widths = widths(header, rows);
    let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1) + INDENT.len();
    if let Some(first) = widths.first_mut() {
        *first = (*first).min((*first + WIDTH).saturating_sub(total).max(FIRST_WIDTH_MIN));
    }
    lines(header, right, rows, &widths)
}

fn widths(header: &[String], rows: &[Vec<String>]) -> Vec<usize> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| width::of(&row[column]));
        cells.chain([width::of(&header[column])]).max().unwrap_or(0).min(CELL_WIDTH_MAX)
    };
    (0..header.len()).map(width).collect()
}

fn lines(header: &[String], right: &[bool], rows: &[Vec<String>], widths: &[usize]) -> String {
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

/// A list after its heading, in lines that a terminal holds; none is cut within a part.
pub fn list(heading: &str, parts: &[String], separator: &str) -> String {
    list_in(heading, parts, separator, WIDTH)
}

fn list_in(heading: &str, parts: &[String], separator: &str, columns: usize) -> String {
    let (mut text, mut line) = (String::new(), heading.to_owned());
    for (at, part) in parts.iter().enumerate() {
        let part = if at + 1 < parts.len() { format!("{part}{separator}") } else { part.clone() };
        if at > 0 && width::of(&line) + width::of(part.trim_end()) > columns {
            text.push_str(line.trim_end());
            text.push('\n');
            line = INDENT.to_owned();
        }
        line.push_str(&part);
    }
    text + line.trim_end() + "\n"
}

/// A sentence in lines that a terminal holds.
pub fn sentence(text: &str) -> String {
    list("", &text.split(' ').map(str::to_owned).collect::<Vec<_>>(), " ")
}

/// Lines that a terminal of so many columns holds: what is too long goes on below, further to the right. None
/// is cut within a word.
pub fn wrapped(text: &str, columns: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let mut width = 0;
        for (at, word) in line[indent..].split(' ').enumerate() {
            let length = width::of(word);
            if at > 0 && width + 1 + length > columns {
                out.push_str(&format!("\n{:1$}", "", indent + 2 * INDENT.len()));
                width = indent + 2 * INDENT.len();
            } else {
                let blanks = if at > 0 { 1 } else { indent };
                out.push_str(&" ".repeat(blanks));
                width += blanks;
            }
            out.push_str(word);
            width += length;
        }
        out.push('\n');
    }
    out
}

fn pad(cell: &str, width: usize, right: bool) -> String {
    let cell = width::cut(cell, width);
    let blanks = " ".repeat(width - width::of(&cell).min(width));
    if right { blanks + &cell } else { cell + &blanks }
}

/// The cells of each column as text for people, as CAST gives it; NULL is empty, and a blank stands for what would move the
/// cursor.
pub fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let column = |column: &ArrayRef| -> Result<Vec<String>> {
        let texts = values::texts(column)?;
        let cell = |text: Option<&str>| text.unwrap_or_default().replace(char::is_control, " ");
        Ok(texts.as_string::<i32>().iter().map(cell).collect())
    };
    batch.columns().iter().map(column).collect()
}

/// A whole number with thousands apart: 336,776.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A number of things: 1 row, 2,000 rows.
pub fn counted(number: i64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The second in which a time lies.
pub fn to_the_second(time: EventTime) -> EventTime {
    match time {
        EventTime::MIN | EventTime::MAX => time,
        EventTime(micros) => EventTime(micros.div_euclid(1_000_000).saturating_mul(1_000_000)),
    }
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

/// The bytes of state in memory, and those on disk if there are any.
pub fn state(memory: usize, disk: usize) -> String {
    match disk {
        0 => bytes(memory),
        _ => format!("{} in memory and {} on disk", bytes(memory), bytes(disk)),
    }
}

/// A length of time: 0.8 s, 12 s, 3 min 5 s.
pub fn duration(length: std::time::Duration) -> String {
    if length.as_secs() < 10 { format!("{:.1} s", length.as_secs_f64()) } else { whole_seconds(length) }
}

/// A length of time that changes as one looks: 3 s, 12 s, 3 min 5 s.
pub fn whole_seconds(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// The name of a fate in JSON.
pub fn fate(fate: Fate) -> String {
    let name = match fate {
        Fate::In => "in",
        Fate::Out => "out",
        Fate::Filtered => "filtered",
        Fate::LateMoved => "late_moved",
        Fate::LateDropped => "late_dropped",
        Fate::Quarantined => "quarantined",
        Fate::Deduplicated => "deduplicated",
        Fate::Bad => "bad",
        Fate::DeadLettered => "dead_lettered",
        Fate::RuleFailed => "rule_failed",
        Fate::ScoreFailed => "score_failed",
        Fate::Held => "held",
        Fate::Joined => "joined",
        Fate::LeftOut => "left_out",
    };
    name.to_owned()
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
    fn what_people_are_told_fits_a_terminal() {
        let parts = |count: usize| (0..count).map(|n| format!("table lake.number_{n} 1,000 rows")).collect::<Vec<_>>();
        assert_eq!(list("wrote ", &parts(1), ", "), "wrote table lake.number_0 1,000 rows\n");
        let many = list("wrote ", &parts(9), ", ");
        assert!(many.lines().count() == 5 && many.lines().all(|line| line.chars().count() <= WIDTH), "{many}");
        assert!(many.lines().skip(1).all(|line| line.starts_with("  table ")), "{many}");
        let told = sentence(&"so many words ".repeat(20));
        assert!(told.lines().all(|line| line.chars().count() <= WIDTH), "{told}");
        let header = ["stream", "history", "watermark"].map(str::to_owned);
        let row = |name: &str| vec![name.to_owned(), "1,000,000,000".to_owned(), "w".repeat(40)];
        let wide = fit(&header, &[false, true, false], &[row(&"s".repeat(40)), row("short")]);
        assert!(wide.lines().all(|line| line.chars().count() <= WIDTH) && wide.contains("sss…  1,000"), "{wide}");
    }

    #[test]
    fn long_lines_go_on_below() {
        let columns: Vec<String> = (0..20).map(|n| format!("column_{n} TIMESTAMP")).collect();
        let text = format!("a: b  <- c\n    ({})\n\n{}\n", columns.join(", "), "x".repeat(100));
        let wrapped = wrapped(&text, WIDTH);
        let lines: Vec<&str> = wrapped.lines().collect();
        assert_eq!((lines[0], lines.last().copied()), ("a: b  <- c", Some(&*"x".repeat(100))));
        let of_columns = &lines[1..lines.len() - 2];
        assert!(of_columns.len() > 3 && of_columns.iter().all(|line| line.chars().count() <= WIDTH), "{wrapped}");
        assert!(of_columns[1..].iter().all(|line| line.starts_with("        ") && !line.starts_with("         ")));
        assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn a_table_fits_the_columns_that_there_are() {
        assert_eq!(fitting(&[10, 20, 30], 64), [10, 20, 30]);
        assert_eq!(fitting(&[10, 20, 30], 54), [10, 20, 20]);
        assert_eq!(fitting(&[4, 48, 48], 40), [4, 16, 16]);
        // Seven of eight columns and the gaps before them, and the sign for the others.
        assert_eq!(fitting(&[12; 20], 80), [10, 10, 9, 9, 9, 9, 9, 1]);
        assert_eq!(fitting(&[30], 20), [20]);
    }

    #[test]
    fn cells_are_aligned() {
        let header = ["name".to_owned(), "rows".to_owned()];
        let rows = [vec!["departures".to_owned(), "7".to_owned()], vec!["w".to_owned(), "1234".to_owned()]];
        assert_eq!(
            lines(&header, &[false, true], &rows, &widths(&header, &rows)),
            "name        rows\n----------  ----\ndepartures     7\nw           1234\n"
        );
    }
}
