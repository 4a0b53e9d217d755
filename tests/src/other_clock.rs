//! Processes whose clocks show another time: libfaketime, fetched once into `~/.cache/riverrun`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library that a process is started with to have another clock.
#[derive(Clone, Debug)]
pub struct OtherClock {
    library: PathBuf,
}

impl OtherClock {
    /// Finds the library, or fetches it with apt; says so where it cannot be had.
    pub fn find() -> Option<OtherClock> {
        let found = fetch();
        if let Err(error) = &found {
            eprintln!("THE TESTS WITH OTHER CLOCKS DO NOT RUN: there is no libfaketime: {error}");
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "1"), "they have to run in CI");
        }
        found.ok().map(|library| OtherClock { library })
    }

    /// What a process has in its environment whose clock is ahead by so many microseconds, or behind.
    pub fn environment(&self, ahead: i64) -> Vec<(String, String)> {
        self.with(("FAKETIME", format!("{:+.6}", ahead as f64 / 1e6)))
    }

    /// The same for a process whose clock is moved while it runs: a file has the seconds by which it is ahead, such as
    /// `+3600`, and is read anew every second.
    pub fn following(&self, file: &Path) -> Vec<(String, String)> {
        let mut environment = self.with(("FAKETIME_TIMESTAMP_FILE", file.display().to_string()));
        environment.push(("FAKETIME_CACHE_DURATION".to_owned(), "1".to_owned()));
        environment
    }

    /// Of waits the clock alone counts that is not moved: Java and Python wait by it, and would not wait at all otherwise.
    fn with(&self, (name, value): (&str, String)) -> Vec<(String, String)> {
        let library = ("LD_PRELOAD".to_owned(), self.library.display().to_string());
        let unmoved = ["DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_FORCE_MONOTONIC_FIX=0"];
        let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        unmoved.into_iter().filter_map(pair).chain([library, (name.to_owned(), value)]).collect()
    }
}

fn fetch() -> Result<PathBuf, String> {
    let home = std::env::var("HOME").map_err(|_| "HOME does not say where it is kept".to_owned())?;
    let cache = Path::new(&home).join(".cache/riverrun");
    let folder = cache.join("libfaketime");
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(told)?;
    let lock = File::create(cache.join("libfaketime.lock")).map_err(told)?;
    lock.lock().map_err(told)?;
    if let Some(library) = library(&folder) {
        return Ok(library);
    }
    let download = run(Command::new("apt-get").args(["download", "libfaketime"]).current_dir(&folder));
    // A machine that has not asked for its packages yet does not know of it.
    download.or_else(|_| {
        run(Command::new("apt-get").arg("update"))?;
        run(Command::new("apt-get").args(["download", "libfaketime"]).current_dir(&folder))
    })?;
    let packages = fs::read_dir(&folder).map_err(told)?.flatten().map(|entry| entry.path());
    let package = packages.filter(|path| path.extension().is_some_and(|end| end == "deb")).max();
    let package = package.ok_or("apt-get has fetched no package")?;
    run(Command::new("dpkg").arg("-x").arg(package).arg(&folder))?;
    library(&folder).ok_or_else(|| format!("the package has no library below {}", folder.display()))
}

/// The library for programs with threads, below the folder of an architecture.
fn library(folder: &Path) -> Option<PathBuf> {
    let architectures = fs::read_dir(folder.join("usr/lib")).ok()?.flatten();
    let mut found = architectures.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?} does not start: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {told}")) }
}
