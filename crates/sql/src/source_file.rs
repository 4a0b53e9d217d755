//! A file of SQL text.

/// A file of SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, as people should read it.
    pub path: String,
    /// Its text.
    pub text: String,
}
