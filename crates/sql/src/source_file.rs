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
}
