//! `init`: a working project to start from.

use crate::outcome::Outcome;
use crate::print;
use dataflow::{Error, Result};
use project::is_letter_of_name;
use std::path::Path;
use std::process::ExitCode;

/// The name that the project has in its settings until it gets that of its folder.
const TEMPLATE_NAME: &str = "\"demo\"";

/// The files of the project that `init` writes.
const TEMPLATE: [(&str, &[u8]); 5] = [
    ("riverrun.toml", include_bytes!("../template/riverrun.toml")),
    ("pipelines/spam.sql", include_bytes!("../template/pipelines/spam.sql")),
    ("tests/spam.test.sql", include_bytes!("../template/tests/spam.test.sql")),
    ("data/messages.csv", include_bytes!("../template/data/messages.csv")),
    ("models/spam.onnx", include_bytes!("../template/models/spam.onnx")),
];

/// Writes the project into a new or empty folder.
pub fn init(folder: &Path) -> Outcome {
    let used = folder.exists() && folder.read_dir().map_or(true, |mut entries| entries.next().is_some());
    if used {
        return Err(
            Error::invalid(format!("{} already exists and is not empty; name a new folder", folder.display())).into()
        );
    }
    let was_there = folder.exists();
    if let Err(error) = write_all(folder) {
        remove(folder, was_there);
        return Err(error.into());
    }
    print::note(format_args!("made {}: messages of two hours, features, a model and a decision\n", folder.display()));
    if folder != Path::new(".") {
        let shown = folder.display().to_string();
        print::note(format_args!("  cd {}", if shown.contains(' ') { format!("'{shown}'") } else { shown }));
    }
    print::note(format_args!("  riverrun run                 # features, scores and decisions over data/messages.csv"));
    print::note(format_args!("  riverrun test                # tests/spam.test.sql"));
    print::note(format_args!("  riverrun query \"SELECT * FROM scored WHERE score > 0.9\" -n 10"));
    Ok(ExitCode::SUCCESS)
}

/// Writes the files of the project, which is called after its folder.
fn write_all(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| not_written(folder, error))?;
    let quoted = format!("\"{}\"", name_of(folder));
    TEMPLATE.iter().try_for_each(|(name, bytes)| {
        let path = folder.join(name);
        match std::str::from_utf8(bytes) {
            Ok(text) if *name == "riverrun.toml" => write(&path, text.replacen(TEMPLATE_NAME, &quoted, 1).as_bytes()),
            _ => write(&path, bytes),
        }
    })
}

/// Removes what was written of a project, so that the command can be run again. What stays is in its way by name.
fn remove(folder: &Path, was_there: bool) {
    for path in TEMPLATE.map(|(name, _)| folder.join(name)) {
        let _ = std::fs::remove_file(&path);
        let _ = path.parent().filter(|parent| *parent != folder).map(std::fs::remove_dir);
    }
    if !was_there {
        let _ = std::fs::remove_dir(folder);
    }
}

/// The name of the project in a folder: the folder's, with `_` for letters that the name of a project does not have.
fn name_of(folder: &Path) -> String {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let letter = |letter: char| if is_letter_of_name(letter) { letter } else { '_' };
    if name.is_empty() { "project".to_owned() } else { name.chars().map(letter).collect() }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, bytes));
    written.map_err(|error| not_written(path, error))
}

fn not_written(path: &Path, error: std::io::Error) -> Error {
    Error::of_file(format!("{} cannot be written", path.display()), error)
}
