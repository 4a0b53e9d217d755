//! The path that is meant by one that is not there.

use dataflow::{Error, Result};
use sql::{nearest, some_of};
use std::path::{Component, Path, PathBuf};

/// How many names of a folder a message lists.
const LISTED_MAX: usize = 5;

/// The result of opening a path in a folder, or a pattern of paths. Where it is not there the error says what is.
pub fn with_near_path<T>(opened: Result<T>, folder: &Path, path: &str) -> Result<T> {
    opened.map_err(|error| {
        let chain = error.chain();
        let is_missing =
            ["no file matches", "there is no such file", "No such file"].iter().any(|part| chain.contains(part));
        match what_is_there(folder, Path::new(path)).filter(|_| is_missing) {
            Some(there) => Error::new(error.kind(), format!("{chain}; {there}")),
            None => error,
        }
    })
}

/// The result of opening a file of a command line. Where it is not in the current folder, but in that of the project, the
/// error says which of them is meant.
pub fn from_here<T>(opened: Result<T>, project: &Path, path: &Path) -> Result<T> {
    opened.map_err(|error| {
        let in_project = project.join(path);
        if path.is_absolute() || path.exists() || !in_project.exists() {
            return error;
        }
        let why = "a file of a command line is taken from the current folder, not from the project";
        Error::new(error.kind(), format!("{}; {why}: write \"{}\"", error.chain(), in_project.display()))
    })
}

/// What is there in place of a path that is not: one with a near name, or what its folder holds. `None` where it is there.
fn what_is_there(folder: &Path, path: &Path) -> Option<String> {
    let steps: Vec<Component> = path.components().filter(|step| *step != Component::CurDir).collect();
    let (mut at, mut written, mut is_other) = (folder.to_owned(), PathBuf::new(), false);
    for (index, step) in steps.iter().enumerate() {
        let name = step.as_os_str().to_str()?;
        let is_pattern = name.contains(['*', '?']);
        if is_pattern && !is_other {
            let names = names_in(&at);
            return (index + 1 == steps.len()).then(|| holds(&written, &names));
        }
        // A link that leads nowhere, and what may not be looked at, are there by name.
        if is_pattern || std::fs::symlink_metadata(at.join(name)).is_ok() {
            (at, written) = (at.join(name), written.join(name));
            continue;
        }
        let names = names_in(&at);
        if names.iter().any(|there| there == name) {
            return None;
        }
        match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => (at, written, is_other) = (at.join(near), written.join(near), true),
            None if index + 1 < steps.len() => {
                let missing = written.join(name);
                return Some(format!("there is no folder \"{}\", and {}", missing.display(), holds(&written, &names)));
            }
            None => return Some(holds(&written, &names)),
        }
    }
    is_other.then(|| format!("did you mean \"{}\"?", written.display()))
}

fn holds(folder: &Path, names: &[String]) -> String {
    let folder = match folder.as_os_str().is_empty() {
        true => "its folder".to_owned(),
        false => format!("\"{}\"", folder.display()),
    };
    match names.len() {
        0 => format!("{folder} holds no file"),
        1..=LISTED_MAX => format!("{folder} holds {}", some_of(names.iter().map(String::as_str))),
        all => format!("{folder} holds {} and {} more", names[..LISTED_MAX].join(", "), all - LISTED_MAX),
    }
}

/// The names in a folder in their order, without hidden ones.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_that_is_not_there_may_mean() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data/days")).unwrap();
        for name in ["data/plays.csv", "data/users.csv.gz", "data/days/a.jsonl"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let of = |path: &str| what_is_there(folder.path(), Path::new(path));
        let near = |path: &str| Some(format!("did you mean \"{path}\"?"));
        assert_eq!(of("data/palys.csv"), near("data/plays.csv"));
        assert_eq!(of("./dta/plays.csv"), near("data/plays.csv"));
        assert_eq!(of("dat/days/*.jsonl"), near("data/days/*.jsonl"));
        assert_eq!(of("data/users.csv"), near("data/users.csv.gz"));
        assert_eq!(of("data/days/*.csv").as_deref(), Some("\"data/days\" holds a.jsonl"));
        assert_eq!(
            of("models/delay.onnx").as_deref(),
            Some("there is no folder \"models\", and its folder holds data")
        );
        assert_eq!(of("data/plays.csv"), None);
        assert_eq!(of("data/days"), None);
    }
}
