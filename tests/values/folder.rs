//! A project in a folder of its own, and the command line run there.

use crate::Given;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A project.
pub struct Folder(TempDir);

/// How a command ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Folder {
    /// A project of these statements.
    pub fn new(sql: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder for the test can be made"));
        std::fs::create_dir(folder.path().join("pipelines")).expect("the project can be written");
        folder.write("riverrun.toml", "[project]\nname = \"values\"\n");
        folder.write("pipelines/all.sql", sql);
        folder
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        std::fs::write(path, text).expect("the project can be written");
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(tests::riverrun()).args(arguments).current_dir(self.path()).output();
        let output = output.expect("the command starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    pub fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "riverrun {arguments:?}\n{}", ran.err);
        ran
    }
}

/// The rows of a SELECT of texts, by their column `id`.
pub fn query(folder: &Folder, sql: &str) -> Given {
    let ran = folder.done(&["query", sql, "--json"]);
    let mut given = Given::new();
    for line in ran.out.lines() {
        let Ok(Value::Object(mut row)) = serde_json::from_str(line) else { panic!("a row is JSON: {line}") };
        let id = row.remove("id").and_then(|id| id.as_u64()).expect("every row has an id");
        let text = |value: Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => panic!("{other} is no text"),
        };
        given.insert(id as usize, row.into_iter().map(|(name, value)| (name, text(value))).collect());
    }
    given
}
