//! Texts that may be secrets.

use crate::secret_file;
use dataflow::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// A text that may be a secret: as it stands, in a variable of the environment, or in a file. It is read anew whenever it
/// is used, so that a file may be replaced; one that is away or empty for a moment meanwhile has what it had before.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The text itself.
    Text(String),
    /// The name of a variable.
    Environment(String),
    /// The path of a file.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Text(_) => f.write_str("Text(..)"),
            Secret::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
            Secret::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Secret {
    /// Reads `env:NAME`, `file:PATH` or the text itself. Errors never show it.
    pub fn parse(text: &str) -> Result<Secret> {
        match text.split_once(':') {
            Some(("env" | "file", "")) => Err(Error::invalid("it names nothing")),
            Some(("env", name)) => Ok(Secret::Environment(name.to_owned())),
            Some(("file", path)) => Ok(Secret::File(path.into())),
            _ if text.trim().is_empty() => Err(Error::invalid("it is empty")),
            _ => Ok(Secret::Text(text.to_owned())),
        }
    }

    /// The same, whose file is found from a folder.
    pub fn within(self, folder: &Path) -> Secret {
        match self {
            Secret::File(path) => Secret::File(folder.join(path)),
            other => other,
        }
    }

    /// The text as it is now. `what` says in errors whose it is.
    pub fn read(&self, what: &str) -> Result<String> {
        let text = match self {
            Secret::Text(text) => text.clone(),
            Secret::Environment(name) => std::env::var(name)
                .map_err(|_| Error::invalid(format!("the environment variable {name} with {what} is not set")))?,
            Secret::File(path) => return secret_file::read(path, what),
        };
        match text.trim() {
            "" => Err(Error::invalid(format!("{what} is empty"))),
            text => Ok(text.to_owned()),
        }
    }

    /// The same of a text that stands in a header, in which no line ends: one that holds a sign which no header can have is
    /// an error.
    pub fn read_line(&self, what: &str) -> Result<String> {
        let text = self.read(what)?;
        let sign = match text.chars().find(|sign| sign.is_control() && *sign != '\t') {
            None => return Ok(text),
            Some('\n' | '\r') => "a line break",
            Some(_) => "a sign that is not printed",
        };
        let whose = match self {
            Secret::Text(_) => what.to_owned(),
            Secret::Environment(name) => format!("the environment variable {name} with {what}"),
            Secret::File(path) => format!("the file {} with {what}", path.display()),
        };
        Err(Error::invalid(format!(
            "{whose} holds {sign} within its text: expected one line of signs that are printed"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_where_it_lies_and_never_printed() {
        let folder = std::env::temp_dir().join(format!("riverrun-secret-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("token"), " CANARY\n").unwrap();
        let in_file = Secret::parse("file:token").unwrap().within(&folder);
        assert_eq!(in_file.read("the token").unwrap(), "CANARY");
        std::fs::write(folder.join("empty"), "\n").unwrap();
        let empty = Secret::File(folder.join("empty")).read("the token").unwrap_err().to_string();
        assert!(empty.ends_with("empty with the token is empty"), "{empty}");
        std::fs::remove_dir_all(&folder).unwrap();
        let error = Secret::File(folder.join("none")).read("the token").unwrap_err().to_string();
        assert!(error.contains("none with the token cannot be read"), "{error}");
        let error = Secret::parse("env:RIVERRUN_NO_SUCH").unwrap().read("the token").unwrap_err().to_string();
        assert_eq!(error, "the environment variable RIVERRUN_NO_SUCH with the token is not set");
        assert_eq!(format!("{:?}", Secret::parse("CANARY").unwrap()), "Text(..)");
    }

    #[test]
    fn a_text_that_no_header_can_have_is_told_without_it() {
        for (text, told) in [
            ("CANARY\nb", Some("a line break")),
            ("CANARY\r\nb", Some("a line break")),
            ("CANARY\u{7f}b", Some("a sign that is not printed")),
            ("CANARY b\n", None),
        ] {
            let read = Secret::Text(text.to_owned()).read_line("the token");
            assert_eq!(read.is_ok(), told.is_none(), "{text:?}");
            if let (Err(error), Some(told)) = (read, told) {
                let error = error.chain();
                assert!(error.contains(&format!("the token holds {told}")) && !error.contains("CANARY"), "{error}");
            }
        }
    }
}
