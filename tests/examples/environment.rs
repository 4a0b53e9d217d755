//! Python environments of tests, each made once under `~/.cache/riverrun`; that of examples/flights from its
//! requirements.txt.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of what tests download or install.
pub fn cache() -> PathBuf {
    let home = std::env::var("HOME").expect("HOME says where environments are kept");
    let cache = Path::new(&home).join(".cache/riverrun");
    fs::create_dir_all(&cache).expect("the cache folder can be made");
    cache
}

/// The interpreter of an environment with the packages of a requirements file; other requirements make it anew.
pub fn python(requirements: &Path) -> PathBuf {
    let wanted = fs::read_to_string(requirements).expect("the requirements can be read");
    environment("venv-tests-flights", &wanted)
}

/// The interpreter of an environment of this name, with what a requirements file would say.
pub fn environment(name: &str, wanted: &str) -> PathBuf {
    let (cache, folder) = (cache(), cache().join(name));
    // Several processes may want it at once, and it is complete when its file `ready` holds the requirements.
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("the lock file can be made");
    lock.lock().expect("the lock file can be locked");
    if !fs::read_to_string(folder.join("ready")).is_ok_and(|ready| ready == wanted) {
        printed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, wanted).expect("the requirements can be written");
        printed(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "-r"]).arg(requirements));
        fs::write(folder.join("ready"), wanted).expect("the environment can be marked as complete");
    }
    folder.join("bin/python")
}

/// Runs a command to its end, however it ends.
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}

/// Runs a command that is to succeed, and gives what it printed.
pub fn printed(command: &mut Command) -> String {
    let output = output(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
