//! Python environments that tests make for themselves, once, under `~/.cache/riverrun`.
//!
//! ```text
//! venv-pyiceberg-0.12.0   pyiceberg[sql-sqlite,pyarrow]==0.12.0
//! venv-duckdb-1.4.4       duckdb==1.4.4 and its extensions iceberg and avro of the same version, as packages: DuckDB
//!                         itself would have to download them. They are loaded by file path, after avro which
//!                         iceberg needs.
//! ```
//!
//! Other test binaries take this file in by `#[path]`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// Packages are installed by one test at a time; a lock file keeps other processes out.
static INSTALLING: Mutex<()> = Mutex::new(());

pub struct Environment {
    python: PathBuf,
}

impl Environment {
    /// PyIceberg with its SQL catalog.
    pub fn pyiceberg() -> Environment {
        Environment::named("venv-pyiceberg-0.12.0", &["pyiceberg[sql-sqlite,pyarrow]==0.12.0"])
    }

    /// DuckDB with the extensions that read Iceberg.
    pub fn duckdb() -> Environment {
        let packages = ["duckdb==1.4.4", "duckdb-ext-iceberg==1.4.4.*", "duckdb-ext-avro==1.4.4.*"];
        Environment::named("venv-duckdb-1.4.4", &packages)
    }

    /// The environment of this name, with these packages. It is complete when its file `ready` is there.
    fn named(name: &str, packages: &[&str]) -> Environment {
        let home = std::env::var("HOME").expect("HOME says where environments are kept");
        let cache = Path::new(&home).join(".cache/riverrun");
        fs::create_dir_all(&cache).unwrap();
        let folder = cache.join(name);
        let _one = INSTALLING.lock().unwrap();
        let lock = File::create(cache.join(format!("{name}.lock"))).unwrap();
        lock.lock().unwrap();
        if !folder.join("ready").exists() {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
            run(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(packages));
            fs::write(folder.join("ready"), packages.join("\n")).unwrap();
        }
        Environment { python: folder.join("bin/python") }
    }

    /// Starts a script.
    pub fn start(&self, script: &Path, arguments: &[&str]) -> Child {
        let mut command = Command::new(&self.python);
        command.arg(script).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs a script, and gives what it printed.
    pub fn run(&self, script: &Path, arguments: &[&str]) -> String {
        finished(self.start(script, arguments))
    }
}

/// Waits for a script, and gives what it printed.
pub fn finished(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
