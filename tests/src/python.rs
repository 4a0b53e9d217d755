//! Python with packages of others, in environments that the tests make for themselves once, under `~/.cache/riverrun`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a Python script that may import DuckDB, and gives what it printed.
pub fn duckdb(script: &Path, arguments: &[&Path]) -> String {
    printed(Command::new(interpreter("venv-tests-duckdb-2.0.0", "duckdb==2.0.0")).arg(script).args(arguments))
}

/// Python with the client of Pulsar.
pub fn pulsar_python() -> PathBuf {
    // The same as the tests of the client have, whose schemas of Avro need another package.
    interpreter("venv-tests-pulsar-3.13.0-avro", "pulsar-client[avro]==3.13.0")
}

/// Python in an environment that has a package.
fn interpreter(name: &str, package: &str) -> PathBuf {
    let home = std::env::var("HOME").expect("HOME says where environments are kept");
    let cache = Path::new(&home).join(".cache/riverrun");
    let folder = cache.join(name);
    fs::create_dir_all(&cache).expect("the cache folder can be made");
    // Several processes may want it at once, and it is complete when its file `ready` is there.
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("the lock file can be made");
    lock.lock().expect("the lock file can be locked");
    if !folder.join("ready").exists() {
        printed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        printed(Command::new(folder.join("bin/pip")).args(["install", "--quiet", package]));
        fs::write(folder.join("ready"), package).expect("the environment can be marked as complete");
    }
    folder.join("bin/python")
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
