//! How wide a terminal is, and a text on it.

use rustix::termios::tcgetwinsize;
use std::io::{IsTerminal, stderr, stdout};
use std::os::fd::AsFd;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A terminal that says that it is narrower is taken to be so wide.
const LEAST: usize = 20;

/// How many columns stdout has, if it is a terminal: what goes elsewhere is for programs, and never cut.
pub fn of_stdout() -> Option<usize> {
    stdout().is_terminal().then(|| columns(stdout())).flatten()
}

/// How many columns stderr has, if it is a terminal.
pub fn of_stderr() -> Option<usize> {
    stderr().is_terminal().then(|| columns(stderr())).flatten()
}

fn columns(of: impl AsFd) -> Option<usize> {
    let columns = usize::from(tcgetwinsize(of).ok()?.ws_col);
    (columns > 0).then(|| columns.max(LEAST))
}

/// How many columns a text takes; colors take none.
pub fn of(text: &str) -> usize {
    let mut parts = text.split("\x1b[");
    let first = parts.next().map_or(0, UnicodeWidthStr::width);
    first + parts.map(|part| part.split_once('m').map_or(0, |(_, rest)| rest.width())).sum::<usize>()
}

/// A text of at most so many columns, with a sign where it goes on.
pub fn cut(text: &str, columns: usize) -> String {
    if of(text) <= columns {
        return text.to_owned();
    }
    let (mut cut, mut taken) = (String::new(), 1);
    for letter in text.chars() {
        taken += letter.width().unwrap_or(0);
        if taken > columns {
            break;
        }
        cut.push(letter);
    }
    cut + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_it_has_so_many_columns() {
        assert_eq!(cut("features", 8), "features");
        assert_eq!(cut("features", 7), "featur…");
        // Each of these takes two columns.
        assert_eq!((of("東京"), cut("東京都", 5)), (4, "東京…".to_owned()));
        assert_eq!(cut("東京都", 4), "東…");
        assert_eq!(of("\x1b[1;31merror:\x1b[0m no"), 9);
        assert_eq!(cut("e\u{301}te\u{301}", 3), "e\u{301}te\u{301}");
    }
}
