//! `init`: a working project to start from.

use crate::outcome::Outcome;
use crate::print;
use dataflow::{Error, Result, no_room};
use std::path::Path;
use std::process::ExitCode;

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
        return Err(Error::invalid(format!("{} is there and not empty; name a new folder", folder.display())).into());
    }
    let was_there = folder.exists();
    if let Err(error) = TEMPLATE.iter().try_for_each(|(name, bytes)| write(&folder.join(name), bytes)) {
        remove(folder, was_there);
        return Err(error.into());
    }
    print::note(format_args!("made {}: messages of two hours, features, a model and a decision\n", folder.display()));
    print::note(format_args!("  cd {}", folder.display()));
    print::note(format_args!("  riverrun run                 # features, scores and decisions over data/messages.csv"));
    print::note(format_args!("  riverrun test                # tests/spam.test.sql"));
    print::note(format_args!("  riverrun query \"SELECT * FROM scored WHERE score > 0.9\" -n 10"));
    Ok(ExitCode::SUCCESS)
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

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, bytes));
    written.map_err(|error| {
        let why = no_room(&error).map(|why| format!(": {why}")).unwrap_or_default();
        Error::unavailable(format!("file {} cannot be written{why}", path.display())).with_source(error)
    })
}
