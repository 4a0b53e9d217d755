//! DuckDB, in a Python environment that the tests make for themselves once, under `~/.cache/riverrun`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

const PACKAGES: &str = "duckdb==2.0.0";

/// Runs a Python script that may import DuckDB, and gives what it printed.
pub fn duckdb(script: &Path, arguments: &[&Path]) -> String {
    let home = std::env::var("HOME").expect("HOME says where environments are kept");
    let cache = Path::new(&home).join(".cache/riverrun");
    let folder = cache.join("venv-tests-duckdb-2.0.0");
    fs::create_dir_all(&cache).expect("the cache folder can be made");
    // Several processes may want it at once, and it is complete when its file `ready` is there.
    let lock = File::create(cache.join("venv-tests-duckdb-2.0.0.lock")).expect("the lock file can be made");
    lock.lock().expect("the lock file can be locked");
    if !folder.join("ready").exists() {
        printed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        printed(Command::new(folder.join("bin/pip")).args(["install", "--quiet", PACKAGES]));
        fs::write(folder.join("ready"), PACKAGES).expect("the environment can be marked as complete");
    }
    drop(lock);
    printed(Command::new(folder.join("bin/python")).arg(script).args(arguments))
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
