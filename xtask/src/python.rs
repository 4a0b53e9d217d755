//! The Python side: scripts, environments with pinned packages, and programs whose answer is JSON.

use crate::failure;
use dataflow::Result;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// DuckDB as the oracle of this project pins it.
pub const DUCKDB: &[(&str, &str)] = &[("duckdb", "2.0.0")];
/// What makes a model and scores it.
pub const MODELS: &[(&str, &str)] = &[
    ("numpy", ""),
    ("onnx", ""),
    ("onnxruntime", "1.32.0"),
    ("scikit-learn", ""),
    ("xgboost-cpu", "3.2.0"),
    ("onnxmltools", "1.16.0"),
    ("skl2onnx", ""),
];

const SCRIPTS: [(&str, &str); 6] = [
    ("answers.py", include_str!("../bench/answers.py")),
    ("measure.py", include_str!("../bench/measure.py")),
    ("duckdb_peer.py", include_str!("../bench/duckdb_peer.py")),
    ("plan_peer.py", include_str!("../bench/plan_peer.py")),
    ("model_peer.py", include_str!("../bench/model_peer.py")),
    ("scored_peer.py", include_str!("../bench/scored_peer.py")),
];

/// The scripts, written to a folder of the cache, and the interpreter.
pub struct Python {
    folder: PathBuf,
    interpreter: PathBuf,
}

impl Python {
    /// Writes the scripts and finds the environment with the packages, or makes it.
    pub fn prepare(cache: &Path, environment: &str, packages: &[(&str, &str)]) -> Result<Python> {
        let folder = cache.join("scripts");
        std::fs::create_dir_all(&folder).map_err(|error| failure::file("make", &folder, error))?;
        for (name, text) in SCRIPTS {
            write(&folder.join(name), text)?;
        }
        let home = cache.parent().unwrap_or(cache).join(environment);
        let python = Python { folder, interpreter: home.join("bin/python") };
        if !python.has(packages) {
            eprintln!("making the Python environment {}", home.display());
            succeed(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
            let pinned = |(name, version): &(&str, &str)| match *version {
                "" => (*name).to_owned(),
                version => format!("{name}=={version}"),
            };
            if packages.is_empty() {
                return Ok(python);
            }
            let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            succeed(Command::new(&python.interpreter).args(install).args(packages.iter().map(pinned)))?;
        }
        Ok(python)
    }

    /// Whether every package is there, in its version.
    fn has(&self, packages: &[(&str, &str)]) -> bool {
        let version = |name: &str| format!("importlib.metadata.version({name:?})");
        let wanted = packages.iter().map(|(name, wanted)| format!("{}.startswith({wanted:?})", version(name)));
        let code = format!("import importlib.metadata\nassert all([{}])", wanted.collect::<Vec<_>>().join(", "));
        let output = Command::new(&self.interpreter).args(["-c", &code]).output();
        output.is_ok_and(|output| output.status.success())
    }

    /// A command that runs a script.
    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg(self.folder.join(script));
        command
    }
}

/// Writes a text file.
pub fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| failure::file("write", path, error))
}

/// Runs a command and gives what it prints; that it fails is an error with what it says.
pub fn succeed(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| failure::program(&name, error))?;
    if !output.status.success() {
        return Err(failure::program(name, String::from_utf8_lossy(&output.stderr).trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command that prints JSON.
pub fn answer(command: &mut Command) -> Result<Value> {
    let text = succeed(command)?;
    let name = command.get_program().to_string_lossy().into_owned();
    serde_json::from_str(&text).map_err(|error| failure::program(name, format!("{error} in {text:?}, expected JSON")))
}
