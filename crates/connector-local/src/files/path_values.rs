//! Values that stand in the paths of files, as in `dt=2024-01-01/events.parquet`.

use std::path::{Path, PathBuf};

/// What a path has in the place of NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The names and values of folders; `None` is NULL.
pub(super) type PathValues = Vec<(String, Option<String>)>;

/// A file, and the columns that its folders give it.
pub(super) struct FoundFile {
    pub path: PathBuf,
    pub of_path: PathValues,
}

/// The names and values of the folders of a path below another one, the outermost first.
pub(super) fn path_values(path: &Path, below: &Path) -> PathValues {
    let folders = path.strip_prefix(below).unwrap_or(path).parent().into_iter().flat_map(Path::components);
    let value = |step: std::path::Component<'_>| {
        let step = step.as_os_str().to_str()?;
        let (name, value) = step.split_once('=')?;
        let value = unescaped(value);
        Some((unescaped(name), (value != NULL).then_some(value)))
    };
    folders.filter_map(value).collect()
}

/// Text in which `%` and two digits stand for a byte that a path does not hold.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_names_are_values() {
        let values = path_values(
            Path::new("/of=a/data/dt=2024-01-01/city=S%C3%A3o%20Paulo/x=__HIVE_DEFAULT_PARTITION__/a=b.csv"),
            Path::new("/of=a/data"),
        );
        let expected = [("dt", Some("2024-01-01")), ("city", Some("São Paulo")), ("x", None)];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
    }
}
