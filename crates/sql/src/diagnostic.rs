//! Diagnostics: what is wrong in the text, where, what was found and expected, and what to write instead.

use crate::expression::Problem;
use crate::nearest::offered;
use crate::source_file::SourceFile;
use sqlparser::ast::Spanned;
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use std::fmt;
use std::ops::Range;

/// How many characters of a line are shown at most.
const EXCERPT_MAX: usize = 400;

/// One error or warning in the text of a project, with its place.
///
/// `Display` prints `path:line:column: error: message` (or `warning`), the line with carets under the place, and what was found,
/// what was expected and what to do where they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The path of the file, as the project gave it.
    pub path: String,
    /// The line, counted from 1.
    pub line: u64,
    /// The character in the line, counted from 1.
    pub column: u64,
    /// How many characters of the line the place covers; at least 1.
    pub span_len: u64,
    /// Whether a run goes on all the same.
    pub is_warning: bool,
    /// What is wrong.
    pub message: String,
    /// What was found there.
    pub found: Option<String>,
    /// What was expected there.
    pub expected: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The line of the file.
    pub source_line: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, EXCERPT_MAX)
    }
}

/// A diagnostic whose line of the text has at most so many characters.
struct Narrow<'a>(&'a Diagnostic, usize);

impl fmt::Display for Narrow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, self.1)
    }
}

impl Diagnostic {
    /// The text for a terminal of so many columns: of a longer line of the project what is around the place is shown.
    pub fn in_columns(&self, columns: usize) -> String {
        let margin = self.line.to_string().len() + " | ".len();
        // Dots stand for what is left out on both sides.
        Narrow(self, columns.saturating_sub(margin + 4).clamp(1, EXCERPT_MAX)).to_string()
    }

    /// `error` or `warning`.
    pub fn severity(&self) -> &'static str {
        if self.is_warning { "warning" } else { "error" }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, excerpt_max: usize) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}: {}", self.path, self.line, self.column, self.severity(), self.message)?;
        let margin = self.line.to_string().len();
        writeln!(f, "{:margin$} |", "")?;
        let (line, place) = self.excerpt(excerpt_max);
        writeln!(f, "{} | {line}", self.line)?;
        let before: String = line.chars().take(place.start).map(blank).collect();
        write!(f, "{:margin$} | {before}{}", "", "^".repeat(place.len()))?;
        let found = self.found.as_ref().filter(|found| !says(&self.message, found));
        for (label, text) in [("found", found), ("expected", self.expected.as_ref()), ("hint", self.hint.as_ref())] {
            if let Some(text) = text {
                write!(f, "\n{:margin$} = {label}: {text}", "")?;
            }
        }
        Ok(())
    }

    /// The line of the text, or what is around the place of a long one, and which characters of it the place covers.
    fn excerpt(&self, excerpt_max: usize) -> (String, Range<usize>) {
        let (start, length) = (self.column.saturating_sub(1) as usize, self.span_len as usize);
        if self.source_line.chars().nth(excerpt_max).is_none() {
            return (self.source_line.clone(), start..start + length);
        }
        let first = start.saturating_sub(excerpt_max / 2);
        let shown: String = self.source_line.chars().skip(first).take(excerpt_max).collect();
        let is_cut = self.source_line.chars().nth(first + excerpt_max).is_some();
        let (before, after) = (if first > 0 { ".." } else { "" }, if is_cut { ".." } else { "" });
        let start = start - first + before.len();
        let length = length.min(excerpt_max + before.len() - start.min(excerpt_max)).max(1);
        (format!("{before}{shown}{after}"), start..start + length)
    }
}

/// Tabs stay tabs, so that the carets stand under their text.
fn blank(character: char) -> char {
    if character == '\t' { '\t' } else { ' ' }
}

/// An error in one statement; its file is known to whoever plans the statement.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub span: Span,
    /// The word of a frame that stands at or after the place, where the parser kept no place of the frame.
    pub word: Option<&'static str>,
    pub message: String,
    pub found: Option<String>,
    pub expected: Option<String>,
    pub hint: Option<String>,
}

/// A problem of an expression, as a fault of its statement.
pub(crate) fn fault(problem: Problem) -> Fault {
    let Problem { message, span, word, found, expected, hint } = problem;
    let text = |text: Option<Box<str>>| text.map(String::from);
    let (message, found, expected, hint) = (message.into(), text(found), text(expected), text(hint));
    Fault { span: span.unwrap_or_else(Span::empty), word, message, found, expected, hint }
}

/// A fault of a part of an expression, as a problem of the expression.
impl From<Box<Fault>> for Problem {
    fn from(fault: Box<Fault>) -> Problem {
        let Fault { span, word, message, found, expected, hint } = *fault;
        let span = (span.start.line > 0).then_some(span);
        let text = |text: Option<String>| text.map(Box::from);
        Problem { message: message.into(), span, word, found: text(found), expected: text(expected), hint: text(hint) }
    }
}

/// The result of planning a part of a statement. The error is boxed because it is large and rare.
pub(crate) type Outcome<T> = std::result::Result<T, Box<Fault>>;

impl Fault {
    pub fn new(span: Span, message: impl Into<String>) -> Fault {
        Fault { span, word: None, message: message.into(), found: None, expected: None, hint: None }
    }

    pub fn found(mut self, found: impl Into<String>) -> Fault {
        self.found = Some(found.into());
        self
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Fault {
        self.expected = Some(expected.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// What to do where nothing nearer to what is wrong is known.
    pub fn hint_if_none(mut self, hint: impl Into<String>) -> Fault {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Names the word of a frame that is wrong, at or after the place.
    pub fn at_word(mut self, word: &'static str) -> Fault {
        self.word = Some(word);
        self
    }

    /// Offers the names that there are in place of a wrong one.
    pub fn offer<'a>(mut self, wrong: &str, names: impl Iterator<Item = &'a str>) -> Fault {
        (self.hint, self.expected) = offered(wrong, names);
        self
    }

    /// Gives a fault without a place the place of the statement or clause that it is in.
    pub fn within(mut self, span: Span) -> Fault {
        if self.span.start.line == 0 {
            self.span = span;
        }
        self
    }

    /// The fault of a part that cannot be planned because of another that was wrong, which has been said.
    pub fn reported() -> Fault {
        Fault::new(Span::empty(), "")
    }

    pub fn is_reported(&self) -> bool {
        self.message.is_empty()
    }

    pub fn err<T>(self) -> Outcome<T> {
        Err(Box::new(self))
    }

    /// The diagnostic of a fault in a file.
    pub fn in_file(self, file: &SourceFile) -> Diagnostic {
        let span = self.word.and_then(|word| frame_word(&file.text, self.span.start, word)).unwrap_or(self.span);
        let Location { line, column } = if span.start.line == 0 { Location::new(1, 1) } else { span.start };
        let source_line = file.text.lines().nth(line.saturating_sub(1) as usize).unwrap_or("").to_owned();
        let rest = (source_line.chars().count() as u64 + 1).saturating_sub(column).max(1);
        let covered = if span.end.line == line { span.end.column.saturating_sub(column) } else { rest };
        Diagnostic {
            path: file.path.clone(),
            line,
            column,
            span_len: covered.clamp(1, rest),
            is_warning: false,
            message: self.message,
            found: self.found,
            expected: self.expected,
            hint: self.hint,
            source_line,
        }
    }
}

/// The first word of a frame at or after a place: `rows` is also a name, so it is followed as a frame is.
fn frame_word(text: &str, from: Location, word: &str) -> Option<Span> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
    let tokens: Vec<&TokenWithSpan> = tokens
        .iter()
        .filter(|token| (token.span.start.line, token.span.start.column) >= (from.line, from.column))
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    let is = |token: &Token, words: &[&str]| matches!(token, Token::Word(found) if found.quote_style.is_none() && words.iter().any(|word| found.value.eq_ignore_ascii_case(word)));
    let begins_frame = |token: &Token| {
        matches!(token, Token::Number(..) | Token::SingleQuotedString(_) | Token::Minus)
            || is(token, &["BETWEEN", "UNBOUNDED", "CURRENT", "INTERVAL"])
    };
    let found = tokens.windows(2).find(|pair| is(&pair[0].token, &[word]) && begins_frame(&pair[1].token));
    found.map(|pair| pair[0].span)
}

/// Whether a message says what was found: as words of it, or in quotes where it is short.
fn says(message: &str, found: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    found.chars().count() > 2
        && message
            .match_indices(found)
            .any(|(at, _)| !message[..at].ends_with(is_word) && !message[at + found.len()..].starts_with(is_word))
        || message.contains(&format!("\"{found}\""))
}

/// The place of a part of the syntax tree.
pub(crate) fn span_of(part: &impl Spanned) -> Span {
    part.span()
}

/// The place of a part of the syntax tree, or of what contains it when the parser kept none.
pub(crate) fn place_of(part: &impl Spanned, within: Span) -> Span {
    let span = span_of(part);
    if span.start.line == 0 { within } else { span }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_says_is_not_said_again() {
        for (message, found, is_said) in [
            ("DIV is no operator", "DIV", true),
            ("no column is named \"q\"", "q", true),
            ("the table has a column", "a", false),
            ("DIVISION is no operator", "DIV", false),
            ("now() is refused", "now()", true),
            ("lower takes 1 argument", "2", false),
        ] {
            assert_eq!(says(message, found), is_said, "{message} {found}");
        }
    }

    #[test]
    fn the_frame_of_a_window_is_found_after_its_name() {
        let text = "SELECT rows, sum(rows) OVER w\nFROM t -- ROWS 1\nWINDOW w AS (PARTITION BY rows ORDER BY at\n  rows 5 PRECEDING)";
        let found = frame_word(text, Location::new(1, 8), "ROWS").unwrap();
        assert_eq!((found.start, found.end), (Location::new(4, 3), Location::new(4, 7)));
        assert_eq!(frame_word(text, Location::new(4, 4), "ROWS"), None);
    }

    #[test]
    fn of_a_long_line_the_place_is_shown() {
        let source_line = format!("{}wrong{}", "é".repeat(1_000_000), "b".repeat(1_000_000));
        let text = |column: u64, span_len: u64| {
            let diagnostic = Diagnostic {
                path: "a.sql".to_owned(),
                line: 1,
                column,
                span_len,
                is_warning: false,
                message: "it is wrong".to_owned(),
                found: None,
                expected: None,
                hint: None,
                source_line: source_line.clone(),
            };
            let text = diagnostic.to_string();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            assert!(text.chars().count() < 3 * EXCERPT_MAX, "{}", text.len());
            let marks = lines[3].chars().position(|mark| mark == '^').unwrap();
            lines[2].chars().skip(marks).take(lines[3].matches('^').count()).collect::<String>()
        };
        assert_eq!(text(1_000_001, 5), "wrong");
        assert_eq!(text(1, 1), "é");
        assert_eq!(text(2_000_005, 1), "b");
        assert!(text(1_000_001, 1_000_000).starts_with("wrongbbb"));
    }
}
