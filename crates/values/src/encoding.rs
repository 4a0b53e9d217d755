//! How letters are stored in text files.

/// How letters are stored in text files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, or UTF-16 where a byte order mark says so.
    #[default]
    Unicode,
    /// ISO 8859-1: a byte per letter.
    Latin1,
    /// UTF-16, the low byte first unless a byte order mark says otherwise.
    Utf16,
}

impl Encoding {
    /// The names that [`Encoding::named`] knows, for messages.
    pub const NAMES: &str = "'utf-8', 'utf-16' or 'latin1'";

    /// The encoding of a name.
    pub fn named(name: &str) -> Option<Encoding> {
        match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Some(Encoding::Unicode),
            "utf-16" | "utf16" => Some(Encoding::Utf16),
            "latin1" | "latin-1" | "iso-8859-1" => Some(Encoding::Latin1),
            _ => None,
        }
    }
}
