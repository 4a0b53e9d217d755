//! Patterns of paths.

use crate::disk::io_error;
use dataflow::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// The files that match a pattern, sorted by path. A step without `*` or `?` is taken as it is; hidden files match
/// only a step that begins with a dot.
pub(super) fn matching(pattern: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = matching_steps(pattern, Path::new(pattern), folder)?;
    found.retain(|path| path.is_file());
    let mut found: Vec<PathBuf> = found.iter().map(|path| path.strip_prefix(".").unwrap_or(path).to_owned()).collect();
    found.sort();
    Ok(found)
}

/// Whether a pattern names a file, which need not be there. Its folder is given without links.
pub(super) fn names_file(pattern: &str, below: &Path, folder: &Path, name: &str) -> Result<bool> {
    let whole = Path::new(pattern);
    let (Some(last), Some(outer)) = (whole.file_name().and_then(|last| last.to_str()), whole.parent()) else {
        return Ok(false);
    };
    let folders = matching_steps(pattern, outer, below)?;
    let is_there = folders.iter().any(|found| found.canonicalize().is_ok_and(|found| found == folder));
    let is_hidden = |name: &str| name.starts_with('.');
    Ok(is_there && is_hidden(last) == is_hidden(name) && matches(last.as_bytes(), name.as_bytes()))
}

/// What the steps of a pattern lead to.
fn matching_steps(pattern: &str, steps: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    if pattern.contains("**") {
        return Err(Error::invalid(format!(
            "files \"{pattern}\": \"**\" is not supported, write one \"*\" per folder"
        )));
    }
    let mut found = vec![folder.to_owned()];
    for step in steps.components() {
        found = match step.as_os_str().to_str() {
            Some(step) if step.contains(['*', '?']) => {
                let mut next = Vec::new();
                for folder in found.iter().filter(|folder| folder.is_dir()) {
                    list(folder, step, &mut next)?;
                }
                next
            }
            _ if step == Component::CurDir => found,
            _ => found.into_iter().map(|folder| folder.join(step)).collect(),
        };
    }
    Ok(found)
}

fn list(folder: &Path, pattern: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| io_error("list", folder, e))? {
        let entry = entry.map_err(|e| io_error("list", folder, e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') == pattern.starts_with('.') && matches(pattern.as_bytes(), name.as_bytes()) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Whether a name matches, with `*` for any bytes and `?` for one. On a mismatch only the last `*` takes one more, so
/// it is quadratic at worst.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(&c), _) if c == b'?' || c == name[n] => (p, n) = (p + 1, n + 1),
            (_, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.bak", false),
            ("a*b*c", "axxbxbxc", true),
            ("a*b*c", "axxbxbx", false),
            ("day=??", "day=01", true),
            ("day=??", "day=1", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
