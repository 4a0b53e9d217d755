//! A file of SQL text.

use sqlparser::tokenizer::{Location, Span};

/// A file of SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, as people should read it.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// Where a quoted name is read, after FROM, JOIN or a comma: sqlparser keeps no place of it.
    pub(crate) fn place_of_quoted(&self, name: &str) -> Option<Span> {
        let quoted = format!("'{}'", name.replace('\'', "''"));
        let is_read = |at: &usize| {
            let before = self.text[..*at].trim_end().to_uppercase();
            ["FROM", "JOIN", ","].iter().any(|word| before.ends_with(word))
        };
        let at = self.text.match_indices(&quoted).map(|(at, _)| at).find(is_read)?;
        let before = &self.text[..at];
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) as u64 + 1;
        let end = Location::new(line, column + quoted.chars().count() as u64);
        Some(Span::new(Location::new(line, column), end))
    }

    /// Where a word stands first at or after a place: of some words of SQL the parser keeps none.
    pub(crate) fn word_after(&self, word: &str, after: Location) -> Option<Span> {
        let is_part = |letter: Option<&char>| letter.is_some_and(|letter| letter.is_alphanumeric() || *letter == '_');
        let first = after.line.max(1) as usize - 1;
        for (number, line) in self.text.lines().enumerate().skip(first) {
            let letters: Vec<char> = line.chars().collect();
            let from = if number == first { after.column.saturating_sub(1) as usize } else { 0 };
            let is_here = |at: &usize| {
                let end = at + word.chars().count();
                let same = letters
                    .get(*at..end)
                    .is_some_and(|found| found.iter().collect::<String>().eq_ignore_ascii_case(word));
                same && !is_part(letters.get(end)) && !is_part(at.checked_sub(1).and_then(|before| letters.get(before)))
            };
            if let Some(at) = (from..letters.len()).find(is_here) {
                let start = Location::new(number as u64 + 1, at as u64 + 1);
                return Some(Span::new(start, Location::new(start.line, start.column + word.chars().count() as u64)));
            }
        }
        None
    }
}
