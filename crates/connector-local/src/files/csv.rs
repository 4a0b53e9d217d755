//! CSV, strictly: what is broken is bad, and the rows after it are read.

use super::lines::{Line, Lines, ROW_BYTES_MAX, too_long};
use super::text_input::NOT_UTF8;
use dataflow::Result;
use std::borrow::Cow;

/// What separates values, the most likely first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The records of a CSV file after its header.
pub(super) struct CsvRecords {
    lines: Lines,
    header: Vec<String>,
    splitter: Splitter,
    line: u64,
    raw: Vec<u8>,
}

impl CsvRecords {
    /// Reads the header, whose line tells what separates values. A file without a line has none.
    pub fn open(mut lines: Lines) -> Result<CsvRecords> {
        lines.find_end()?;
        let mut first = lines.next(Vec::new())?;
        while let Some(blank) = first.take_if(|line| is_blank(line)) {
            first = lines.next(blank.bytes)?;
        }
        let delimiter = first.as_ref().map_or(b',', |line| delimiter_of(line.content()));
        let splitter = Splitter { delimiter, ..Splitter::default() };
        let mut records = CsvRecords { lines, header: Vec::new(), splitter, line: 0, raw: Vec::new() };
        let Some(line) = first else { return Ok(records) };
        let number = line.number;
        records.lines.give_back(vec![line]);
        if let Some(Err(why)) = records.next()? {
            return Err(dataflow::Error::invalid(format!("the header in line {number} cannot be read: {why}")));
        }
        records.header = records.values().map(|name| name.trim().to_owned()).collect();
        let twice = |(at, name): &(usize, &String)| !name.is_empty() && records.header[..*at].contains(name);
        match records.header.iter().enumerate().find(twice) {
            Some((_, name)) => Err(dataflow::Error::invalid(format!(
                "the header in line {number} names the column \"{name}\" twice, expected different names"
            ))),
            None => Ok(records),
        }
    }

    /// The names of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Whether a line is there already, so that reading it does not wait.
    pub fn is_ready(&self) -> bool {
        self.lines.is_ready()
    }

    /// The line on which the last record begins.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The last record as it stands in the file.
    pub fn raw(&self) -> &[u8] {
        let raw = self.raw.strip_suffix(b"\n").unwrap_or(&self.raw);
        raw.strip_suffix(b"\r").unwrap_or(raw)
    }

    /// The values of the last record.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.splitter.ends.iter().copied());
        starts.zip(&self.splitter.ends).map(|(from, &to)| &self.splitter.text[from..to])
    }

    /// Reads a record, or says what is wrong with it; `None` at the end. Blank lines are passed.
    pub fn next(&mut self) -> Result<Option<std::result::Result<(), String>>> {
        let mut line = loop {
            let memory = std::mem::take(&mut self.raw);
            match self.lines.next(memory)? {
                None => return Ok(None),
                Some(line) if is_blank(&line) => self.raw = line.bytes,
                Some(line) => break line,
            }
        };
        self.line = line.number;
        self.splitter.clear();
        let mut fed = self.feed(&line);
        self.raw = std::mem::take(&mut line.bytes);
        // The lines that an open quote takes in. Where it does not end well they are rows of their own.
        let (first, mut taken, mut bytes) = (self.raw.len(), Vec::new(), 0);
        while let Ok(false) = fed {
            let next = if first + bytes > ROW_BYTES_MAX { None } else { self.lines.next(Vec::new())? };
            let open = self.splitter.open_quote();
            let Some(next) = next else {
                fed = Err(if first + bytes > ROW_BYTES_MAX { too_long() } else { open });
                break;
            };
            // With what a line takes beside its bytes: many short ones would else fill the memory.
            bytes += next.bytes.len() + size_of::<Line>();
            // What is wrong there may be a row of its own, and no part of this one.
            fed = self
                .feed(&next)
                .map_err(|why| format!("{open} before line {}, which does not go on with it: {why}", next.number));
            taken.push(next);
        }
        let checked = fed.and_then(|_| self.splitter.check_text()).and_then(|()| self.check_count());
        match &checked {
            Ok(()) => taken.iter().for_each(|line| self.raw.extend_from_slice(&line.bytes)),
            Err(_) => self.lines.give_back(taken),
        }
        Ok(Some(checked))
    }

    /// Takes a line of a record; says whether the record ends with it. One that has too many values already is not
    /// followed to its end: if every line opens a quote that the next one closes, that would be the end of the file.
    fn feed(&mut self, line: &Line) -> std::result::Result<bool, String> {
        if line.is_too_long {
            return Err(too_long());
        }
        let is_whole = self.splitter.feed(line)?;
        let expected = self.header.len();
        match is_whole || expected == 0 || self.splitter.ends.len() < expected {
            true => Ok(is_whole),
            false => Err(format!("it has more values than the {expected} of the header")),
        }
    }

    fn check_count(&self) -> std::result::Result<(), String> {
        let (found, expected) = (self.splitter.ends.len(), self.header.len());
        match expected == 0 || found == expected {
            true => Ok(()),
            false if found == 1 => Err(format!("it has 1 value, expected {expected} as in the header")),
            false => Err(format!("it has {found} values, expected {expected} as in the header")),
        }
    }
}

/// Whether a line is no record. One of tabs alone is a record whose values are all empty.
fn is_blank(line: &Line) -> bool {
    line.content().iter().all(|&byte| byte == b' ')
}

/// What separates the values of a line: what stands there most often outside of quotes.
fn delimiter_of(header: &[u8]) -> u8 {
    let count = |delimiter: u8| {
        let mut is_quoted = false;
        header
            .iter()
            .filter(|&&byte| {
                is_quoted ^= byte == b'"';
                byte == delimiter && !is_quoted
            })
            .count()
    };
    let most = DELIMITERS.map(count).into_iter().max().unwrap_or(0);
    DELIMITERS.into_iter().find(|&delimiter| count(delimiter) == most).unwrap_or(b',')
}

/// Where in a value the splitter is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Start,
    Plain,
    Quoted,
    /// After a quote in quotes, which closes the value unless another one follows.
    Closed,
}

/// Cuts lines into values.
#[derive(Default)]
struct Splitter {
    delimiter: u8,
    text: String,
    ends: Vec<usize>,
    within: Within,
    // The line in which the last quote was opened.
    quoted_in: u64,
    // The first line that is no text.
    not_text: Option<u64>,
    // The line in which the record begins.
    begins: u64,
}

impl Splitter {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.within = Within::Start;
        self.not_text = None;
        self.begins = 0;
    }

    /// The quote that is open, as a reason for which a record is bad.
    fn open_quote(&self) -> String {
        let value = self.ends.len() + 1;
        match self.quoted_in == self.begins {
            true => format!("the quote that opens value {value} is not closed"),
            false => format!("the quote that opens value {value} in line {} is not closed", self.quoted_in),
        }
    }

    /// Refuses a record that is no text. Only where it ends is it known which lines are its own.
    fn check_text(&self) -> std::result::Result<(), String> {
        let Some(line) = self.not_text else { return Ok(()) };
        let what = if line == self.begins { "it".to_owned() } else { format!("line {line} of it") };
        Err(format!("{what} {NOT_UTF8}"))
    }

    /// Takes a line; says whether the record ends with it.
    fn feed(&mut self, line: &Line) -> std::result::Result<bool, String> {
        if self.begins == 0 {
            self.begins = line.number;
        }
        let whole = String::from_utf8_lossy(&line.bytes);
        if let Cow::Owned(_) = whole {
            self.not_text.get_or_insert(line.number);
        }
        let content = whole.len() - (line.bytes.len() - line.content().len());
        let mut at = 0;
        while at < content {
            let rest = &whole.as_bytes()[at..content];
            let until = |end: u8| rest.iter().position(|&byte| byte == end);
            match self.within {
                Within::Start if rest[0] == b'"' => {
                    self.within = Within::Quoted;
                    self.quoted_in = line.number;
                    at += 1;
                }
                Within::Start | Within::Plain => {
                    let end = until(self.delimiter);
                    let size = end.unwrap_or(rest.len());
                    let value = &whole[at..at + size];
                    if value.contains('\r') {
                        let column = self.ends.len() + 1;
                        return Err(format!(
                            "value {column} holds a carriage return without quotes, and lines of this file end with a \
                             line feed"
                        ));
                    }
                    self.text.push_str(value);
                    self.within = Within::Plain;
                    at += size;
                    if end.is_some() {
                        self.end();
                        at += 1;
                    }
                }
                Within::Quoted => {
                    let size = until(b'"').unwrap_or(rest.len());
                    self.text.push_str(&whole[at..at + size]);
                    at += size;
                    if size < rest.len() {
                        self.within = Within::Closed;
                        at += 1;
                    }
                }
                Within::Closed if rest[0] == b'"' => {
                    self.text.push('"');
                    self.within = Within::Quoted;
                    at += 1;
                }
                Within::Closed if rest[0] == self.delimiter => {
                    self.end();
                    at += 1;
                }
                Within::Closed => {
                    let column = self.ends.len() + 1;
                    return Err(format!(
                        "text follows the closing quote of value {column}; a quote in quotes is written twice"
                    ));
                }
            }
        }
        if self.within == Within::Quoted {
            self.text.push_str(&whole[content..]);
            return Ok(false);
        }
        self.end();
        Ok(true)
    }

    fn end(&mut self) {
        self.ends.push(self.text.len());
        self.within = Within::Start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn records(text: &str) -> Vec<(u64, std::result::Result<Vec<String>, String>)> {
        let input = Box::new(std::io::Cursor::new(text.to_owned().into_bytes()));
        let mut records = CsvRecords::open(Lines::new(Path::new("a.csv"), input)).unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next().unwrap() {
            let values = record.map(|()| records.values().map(str::to_owned).collect());
            all.push((records.line(), values));
        }
        all
    }

    fn good(line: u64, values: [&str; 2]) -> (u64, std::result::Result<Vec<String>, String>) {
        (line, Ok(values.map(str::to_owned).to_vec()))
    }

    #[test]
    fn values_and_lines() {
        let text = "a,b\r\n1,\"x,\"\"y\"\"\"\r\n\r\n \n2,\"two\nlines\"\n3,\n4,5\"\n";
        let expected =
            [good(2, ["1", "x,\"y\""]), good(5, ["2", "two\nlines"]), good(7, ["3", ""]), good(8, ["4", "5\""])];
        assert_eq!(records(text), expected);
        assert_eq!(records("a;b\n1,5;2\n"), [good(2, ["1,5", "2"])]);
        assert_eq!(records("a\tb\n1\t2\n"), [good(2, ["1", "2"])]);
        assert_eq!(records("\"a,b,c\"|b\n1|2\n"), [good(2, ["1", "2"])]);
        assert_eq!(records(""), []);
        assert_eq!(records("a,b\n"), []);
    }

    #[test]
    fn what_is_broken_is_bad_and_the_rows_after_it_are_read() {
        let all = records("a,b\n1,\"open\n2,y\n3,z\n");
        assert_eq!(all[0], (2, Err("the quote that opens value 2 is not closed".to_owned())));
        assert_eq!(all[1..], [good(3, ["2", "y"]), good(4, ["3", "z"])]);
        let all = records("a,b\n1,\"x\"y\n2,\"a\\\"b\"\n3,\"open\n4,\"x\"\n5,6,7\n8\n9,10\n");
        for (at, line) in [(0, 2), (1, 3), (2, 4)] {
            assert_eq!(all[at].0, line);
            assert!(all[at].1.as_ref().is_err_and(|why| why.contains("text follows the closing quote of value 2")));
        }
        assert_eq!(all[3], good(5, ["4", "x"]));
        assert_eq!(all[4], (6, Err("it has 3 values, expected 2 as in the header".to_owned())));
        assert_eq!(all[5].0, 7);
        assert_eq!(all[6], good(8, ["9", "10"]));
    }

    #[test]
    fn the_quote_that_was_left_open_is_the_reason_and_not_what_later_rows_hold() {
        let reasons = |bytes: &[u8]| {
            let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
            let mut records = CsvRecords::open(Lines::new(Path::new("a.csv"), input)).unwrap();
            let mut bad = Vec::new();
            while let Some(record) = records.next().unwrap() {
                bad.extend(record.err().map(|why| (records.line(), why)));
            }
            bad
        };
        let told = |line: u64, why: &str| (line, why.to_owned());
        let open = told(2, "the quote that opens value 2 is not closed");
        assert_eq!(reasons(b"a,b\n1,\"open\n2,y\n"), [open.clone()]);
        assert_eq!(reasons(b"a,b\n1,\"open\n2,\xff\n3,y\n"), [open, told(3, &format!("it {NOT_UTF8}"))]);
        let of_value = told(2, "the quote that opens value 3 in line 3 is not closed");
        assert_eq!(reasons(b"a,b,c\n1,\"two\nlines\",\"open\n2,x,y\n")[0], of_value);
        let closes = "the quote that opens value 2 is not closed before line 3, which does not go on with it: text follows the closing quote of value 2; a \
                      quote in quotes is written twice";
        assert_eq!(reasons(b"a,b\n1,\"open\n2,\"x\"\n"), [told(2, closes)]);
        assert_eq!(reasons(b"a,b\n1,\"two\nlin\xe9s\"\n2,x\n")[0], told(2, &format!("line 3 of it {NOT_UTF8}")));
        assert_eq!(reasons(b"a,b\n\xe9,\"two\nlines\"\n")[0], told(2, &format!("it {NOT_UTF8}")));
    }

    #[test]
    fn lines_that_each_open_a_quote_are_not_followed_to_the_end_of_the_file() {
        let lines = 200_000;
        let all = records(&format!("a,b\n{}1,2\n", "x\",\"y\n".repeat(lines)));
        assert_eq!(all.len(), lines + 1);
        let more = "the quote that opens value 2 is not closed before line 3, which does not go on with it: it has more \
                    values than the 2 of the header";
        let more = more.to_owned();
        assert_eq!((&all[0].1, &all[lines]), (&Err(more), &good(lines as u64 + 2, ["1", "2"])));
    }

    #[test]
    fn a_line_of_tabs_is_a_record_and_a_name_comes_once() {
        let all = records("a\tb\n\t\n1\t2\n\n");
        assert_eq!(all, [good(2, ["", ""]), good(3, ["1", "2"])]);
        let input = Box::new(std::io::Cursor::new(b"\na,b,a\n1,2,3\n".to_vec()));
        let error = CsvRecords::open(Lines::new(Path::new("a.csv"), input)).err().unwrap().to_string();
        assert_eq!(error, "the header in line 2 names the column \"a\" twice, expected different names");
    }

    #[test]
    fn lines_may_end_with_a_carriage_return_alone() {
        let expected = [good(2, ["1", "x"]), good(4, ["2", "two\rlines"]), good(6, ["3", ""])];
        assert_eq!(records("a,b\r1,x\r\r2,\"two\rlines\"\r3,\r"), expected);
        assert_eq!(records("a,b\r1,x"), [good(2, ["1", "x"])]);
        assert_eq!(records("a,\"b\rc\"\n1,x\n"), [good(2, ["1", "x"])]);
        let all = records("a,b\n1,x\ry\n2,z\n\"3\",\"p\rq\"\r\n");
        assert_eq!(all[1..], [good(3, ["2", "z"]), good(4, ["3", "p\rq"])]);
        assert_eq!(all[0].0, 2);
        let why = "value 2 holds a carriage return without quotes, and lines of this file end with a line feed";
        assert_eq!(all[0].1, Err(why.to_owned()));
    }

    #[test]
    fn a_row_of_just_the_greatest_size_ends_where_its_line_does() {
        let text = format!("a,b\n1,{}\n2,y\n", "x".repeat(ROW_BYTES_MAX - 2));
        let all = records(&text);
        assert!(all[0].1.is_ok() && all[1..] == [good(3, ["2", "y"])], "{:?}", &all[1..]);
        let text = format!("a,b\n1,{}\n2,y\n", "x".repeat(ROW_BYTES_MAX - 1));
        let all = records(&text);
        assert!(all[0].1.as_ref().is_err_and(|why| why.contains("more than 64 MiB")));
        assert_eq!(all[1..], [good(3, ["2", "y"])]);
    }

    #[test]
    fn a_quote_that_takes_in_too_much_is_bad_alone() {
        let text = format!("a,b\n1,\"open\n{}3,z\n", "2,y\n".repeat(ROW_BYTES_MAX / 4));
        let input = Box::new(std::io::Cursor::new(text.into_bytes()));
        let mut records = CsvRecords::open(Lines::new(Path::new("a.csv"), input)).unwrap();
        let why = records.next().unwrap().unwrap().unwrap_err();
        assert!(why.contains("more than 64 MiB"), "{why}");
        assert_eq!(records.next().unwrap(), Some(Ok(())));
        assert_eq!((records.line(), records.values().collect::<Vec<_>>()), (3, vec!["2", "y"]));
    }
}
