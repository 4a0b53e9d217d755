//! A folder with a project in it, and the real command line run there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// What `init` writes; that it does is a test of its own.
const TEMPLATE: &str = "crates/riverrun/template";

/// A project's folder and a folder for what commands spill, both gone when the test is over.
pub struct Folder {
    root: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed for programs.
    pub out: String,
    /// What it printed for people.
    pub err: String,
}

impl Folder {
    /// A project folder with nothing in it.
    pub fn empty() -> Folder {
        let root = tempfile::tempdir().expect("a folder for the test can be made");
        for part in ["project", "spill"] {
            fs::create_dir(root.path().join(part)).expect("a folder for the test can be made");
        }
        Folder { root }
    }

    /// The project that `init` writes.
    pub fn demo() -> Folder {
        let folder = Folder::empty();
        for name in template_files() {
            folder.write_bytes(
                &name,
                &fs::read(tests::root().join(TEMPLATE).join(&name)).expect("the template is there"),
            );
        }
        folder
    }

    /// Where the project is.
    pub fn path(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: &str) -> &Folder {
        self.write_bytes(name, text.as_bytes());
        self
    }

    /// Writes a file of the project that is no text.
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        fs::write(path, bytes).expect("the file can be written");
    }

    /// Puts one text where another stands, once, in a file of the project.
    pub fn replace(&self, name: &str, from: &str, to: &str) -> &Folder {
        let text = fs::read_to_string(self.path().join(name)).expect("the file is there");
        assert!(text.contains(from), "{name} holds no {from:?}");
        self.write(name, &text.replacen(from, to, 1))
    }

    /// A command line that is yet to run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(tests::riverrun());
        command.args(arguments);
        self.here(&mut command);
        command
    }

    /// Makes a command run in the project, with a folder of its own for what does not fit in memory.
    pub fn here(&self, command: &mut Command) {
        command.current_dir(self.path()).env("TMPDIR", self.root.path().join("spill")).env("NO_COLOR", "1");
    }

    /// Runs a command, whatever comes of it.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.ran(&self.command(arguments).output().expect("the command starts"))
    }

    /// What became of a command; nothing may stay in the folder for what does not fit in memory.
    pub fn ran(&self, output: &Output) -> Ran {
        let spilled: Vec<_> = fs::read_dir(self.root.path().join("spill")).expect("the folder is there").collect();
        assert!(spilled.is_empty(), "a command left {spilled:?}");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*self.path().to_string_lossy(), "<project>");
        Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Runs a command that has to succeed.
    pub fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "riverrun {arguments:?}\n{}{}", ran.out, ran.err);
        ran
    }

    /// The files of the project, by path.
    pub fn files(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        list(&self.path(), "", &mut all);
        all
    }
}

fn list(folder: &Path, prefix: &str, all: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            all.insert(format!("{name}/"));
            list(&entry.path(), &format!("{name}/"), all);
        } else {
            all.insert(name);
        }
    }
}

/// The files of the template, without the script that makes them.
pub fn template_files() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    list(&tests::root().join(TEMPLATE), "", &mut all);
    all.into_iter().filter(|name| !name.ends_with('/') && !name.ends_with(".py")).collect()
}

/// Compares a text with a committed file, or writes the file when `RIVERRUN_REWRITE` is set.
pub fn committed(path: &str, text: &str) -> Result<(), String> {
    let path = tests::root().join(path);
    if std::env::var_os("RIVERRUN_REWRITE").is_some() {
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        fs::write(&path, text).expect("the file can be written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    if there == text {
        return Ok(());
    }
    Err(format!("{} (RIVERRUN_REWRITE=1 writes it anew)\n--- is\n{there}\n--- came\n{text}", path.display()))
}
