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
    for (name, bytes) in TEMPLATE {
        write(&folder.join(name), bytes)?;
    }
    print::note(format_args!("made {}: messages of two hours, features, a model and a decision\n", folder.display()));
    print::note(format_args!("  cd {}", folder.display()));
    print::note(format_args!("  riverrun run                 # features, scores and decisions over data/messages.csv"));
    print::note(format_args!("  riverrun test                # tests/spam.test.sql"));
    print::note(format_args!("  riverrun query \"SELECT * FROM scored WHERE score > 0.9\" -n 10"));
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, bytes));
    written.map_err(|error| {
        let why = no_room(&error).map(|why| format!(": {why}")).unwrap_or_default();
        Error::unavailable(format!("file {} cannot be written{why}", path.display())).with_source(error)
    })
}
