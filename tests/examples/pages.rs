//! The pages docs/sql.md, docs/query.md, docs/publish.md and docs/reading.md: every block on them runs, as its kind says.
//! Statements and settings of other pages are checked.

use crate::environment::{environment, printed};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What the blocks of docs/reading.md import. DuckDB would download its extensions; here they are packages.
const READERS: &str = "pyiceberg[sql-sqlite,pyarrow]==0.12.0\npandas==3.1.1\nduckdb==1.4.4\n\
                       duckdb-ext-iceberg==1.4.4.*\nduckdb-ext-avro==1.4.4.*\n";

/// A block of a page: its kind, which stands after the backquotes, and its text.
struct Block {
    kind: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(tests::root().join("docs").join(page)).expect("the page is there");
    let (mut blocks, mut open): (Vec<Block>, bool) = (Vec::new(), false);
    for line in text.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(kind), false) => blocks.push(Block { kind: kind.to_owned(), text: String::new() }),
            (Some(_), true) => {}
            (None, true) => {
                let block = blocks.last_mut().expect("a block is open");
                block.text += line;
                block.text.push('\n');
            }
            (None, false) => continue,
        }
        if line.starts_with("```") {
            open = !open;
        }
    }
    assert!(!open, "{page} ends within a block");
    blocks
}

/// The texts of all blocks of a kind, one after the other.
fn all_of(blocks: &[Block], kind: &str) -> String {
    let texts: Vec<&str> = blocks.iter().filter(|block| block.kind == kind).map(|block| block.text.as_str()).collect();
    assert!(!texts.is_empty(), "the page has no block of {kind}");
    texts.join("\n")
}

/// Fails on a block of a kind that no test runs.
fn only(blocks: &[Block], kinds: &[&str]) {
    for block in blocks {
        assert!(kinds.contains(&block.kind.as_str()), "nothing runs the block ```{}\n{}", block.kind, block.text);
    }
}

/// A folder with a project in it.
struct Project(TempDir);

impl Project {
    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        fs::write(path, text).expect("the file can be written");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs a command that is to succeed, and gives the lines of its data.
    fn riverrun(&self, arguments: &[&str]) -> Vec<String> {
        let told = printed(Command::new(tests::riverrun()).arg("-C").arg(self.path()).args(arguments));
        told.lines().map(str::to_owned).collect()
    }

    /// The rows of a table, as a stream over it sees them.
    fn rows(&self, table: &str) -> u64 {
        let warehouse = connector_iceberg::Warehouse::open(&self.path().join("warehouse")).expect("it opens");
        warehouse.rows(table).unwrap_or_else(|error| panic!("{table}: {error}"))
    }

    /// A line of a shell in the project, to which `riverrun` is known.
    fn shell(&self, line: &str) -> Command {
        let folder = tests::riverrun().parent().expect("the program lies in a folder").to_owned();
        let path =
            std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&env_path()))).expect("a path");
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", line]).current_dir(self.path()).env("PATH", path);
        command
    }

    /// Runs a line that is to succeed, and gives the lines of its data.
    fn line(&self, line: &str) -> Vec<String> {
        printed(&mut self.shell(line)).lines().map(str::to_owned).collect()
    }

    fn publish(&self, stream: &str) {
        let file = self.path().join(format!("{stream}.jsonl"));
        self.riverrun(&["publish", stream, &file.to_string_lossy()]);
    }
}

fn env_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// The lines of all blocks of a kind.
fn lines_of(blocks: &[Block], kind: &str) -> Vec<String> {
    all_of(blocks, kind).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The project that the SQL of docs/sql.md is, with a few rows for each of its streams.
fn of_the_page(blocks: &[Block]) -> Project {
    let project = Project(tempfile::tempdir().expect("a folder for the test can be made"));
    project.write("pipelines/page.sql", all_of(blocks, "sql"));
    project.write("tests/page.test.sql", all_of(blocks, "sql test"));
    project.write("riverrun.toml", all_of(blocks, "toml"));
    let model = tests::root().join("crates/riverrun/template/models/spam.onnx");
    project.write("models/spam.onnx", fs::read(model).expect("the model is there"));
    project.write(
        "data/accounts/2026.csv",
        "user_id,created_at,changed_at\n1,2025-12-01 10:00:00,2025-12-01 10:00:00\n2,2026-01-01 07:00:00,2026-01-01 07:00:00\n",
    );
    project.write("data/old_accounts.csv", b"user_id,name,changed_at\n3,J\xf6rg,2020-01-01 10:00:00\n".as_slice());
    project.write(
        "data/clicks.jsonl",
        "{\"id\":\"c1\",\"payload\":{\"user\":{\"id\":7}},\"ms\":1767225600000}\n{\"id\":\"c2\",\"ms\":\"soon\"}\n",
    );
    project.write("data/logins.csv", "user_id,at\n1,2026-01-01 08:00:00\n");
    let message = |id: usize, at: &str| {
        format!(
            "{{\"message_id\":\"m{id}\",\"sender_id\":1,\"recipient_id\":{id},\"text_len\":{},\"has_link\":true,\
             \"text\":\"hello\",\"sent_at\":\"{at}\"}}\n",
            id + 1
        )
    };
    let burst = (0..40).map(|id| message(id, &format!("2026-01-01 10:00:{id:02}")));
    // A delivery again, and a row by which the labels of the others are known.
    let rest = [message(39, "2026-01-01 10:01:00"), message(99, "2026-02-20 10:00:00")];
    project.write("messages.jsonl", burst.chain(rest).collect::<String>());
    let report = |id: &str, at: &str| format!("{{\"message_id\":\"{id}\",\"sender_id\":1,\"reported_at\":\"{at}\"}}\n");
    let reports = [
        report("m5", "2026-01-02 10:00:00"),
        report("late", "2026-01-01 10:00:00"),
        report("m99", "2026-02-28 10:00:00"),
    ];
    project.write("reports.jsonl", reports.concat());
    project
}

#[test]
fn the_sql_of_its_page_runs() {
    let blocks = blocks("sql.md");
    only(&blocks, &["sql", "sql test", "toml", "text"]);
    let project = of_the_page(&blocks);
    project.riverrun(&["check"]);
    let tested = project.riverrun(&["test"]);
    assert_eq!(tested.iter().filter(|line| line.starts_with("ok ")).count(), 1, "{tested:?}");
    for stream in ["messages", "reports"] {
        project.publish(stream);
    }
    project.riverrun(&["run", "archive", "--until-caught-up"]);
    for job in ["decide", "train"] {
        project.riverrun(&["run", job, "--until-caught-up"]);
    }
    assert_eq!(project.rows("raw.messages"), 42, "the archive has every message");
    assert_eq!(project.rows("dm_spam__log"), 41, "one message came twice");
    assert_eq!(project.rows("lake.spam_training"), 41, "every message has a label");
    assert_eq!(project.rows("lake.late_reports__train"), 1, "one report was late");
    // All rows are from the archive, whose actions are of the past.
    let log = project.riverrun(&["query", "SELECT message_id, score, score_fault FROM scored", "--json"]);
    assert!(log.len() == 41 && log.iter().all(|row| row.contains("\"score_fault\":null")), "{log:?}");
    let text = all_of(&blocks, "sql");
    let named: Vec<&str> = ["CREATE STREAM ", "CREATE VIEW "]
        .iter()
        .flat_map(|words| text.split(words).skip(1))
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    assert!(named.len() >= 10, "{named:?}");
    for name in named {
        let rows = project.riverrun(&["query", &format!("SELECT * FROM {name}"), "--json"]);
        assert!(!rows.is_empty(), "{name} has no row");
    }
    ask_as_its_page_says(&project);
}

/// Asks the queries of docs/query.md of the project of docs/sql.md.
fn ask_as_its_page_says(project: &Project) {
    let blocks = blocks("query.md");
    only(&blocks, &["sh"]);
    let lines = lines_of(&blocks, "sh");
    assert!(lines.len() >= 5, "{lines:?}");
    for line in lines {
        let rows = project.line(&format!("{line} --csv"));
        assert!(rows.len() > 1, "no row comes of\n{line}");
    }
}

#[test]
fn a_topic_is_filled_as_its_page_says() {
    let blocks = blocks("publish.md");
    only(&blocks, &["bash"]);
    let project = Project(tempfile::tempdir().expect("a folder for the test can be made"));
    let stream = "CREATE STREAM plays (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) LIVE plays;\n";
    project.write("pipelines/page.sql", stream);
    let row = |user: usize| format!("{{\"user_id\":{user},\"at\":\"2026-01-01 10:00:0{user}\"}}\n");
    for (name, user) in [("produced.jsonl", 0), ("app.log", 1), ("plays.jsonl", 3)] {
        project.write(name, row(user));
    }
    project.write("plays.csv", "user_id,at\n2,2026-01-01 10:00:02\n");
    project.line("gzip plays.jsonl");
    let on_topic = || project.riverrun(&["tail", "plays", "--from-start", "--until-caught-up", "--json"]);
    for (before, line) in lines_of(&blocks, "bash").iter().enumerate() {
        let mut shell = project.shell(&format!(
            "producer() {{ cat produced.jsonl; }}; {}",
            line.replace("riverrun publish plays app.log", "exec riverrun publish plays app.log")
        ));
        let mut child = shell.spawn().expect("the shell starts");
        while line.ends_with("--follow") && on_topic().len() == before {
            assert!(child.try_wait().expect("it is ours").is_none(), "it has ended: {line}");
        }
        if line.ends_with("--follow") {
            let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            assert!(sent.is_ok_and(|sent| sent.success()), "{line} has ended by itself");
        }
        assert!(child.wait().expect("it is ours").success(), "{line}");
        assert_eq!(on_topic().len(), before + 1, "after {line}");
    }
}

#[test]
fn what_other_pages_declare_is_taken() {
    let project = Project(tempfile::tempdir().expect("a folder for the test can be made"));
    project.write("pipelines/page.sql", all_of(&blocks("bad-rows.md"), "sql"));
    project.write("data/mails/one.csv", "id,sent_at,received_at\na,2026-01-01 10:00,2026-01-01 10:01\n");
    project.write("riverrun.toml", all_of(&blocks("live.md"), "toml"));
    project.riverrun(&["check"]);
}

/// A home whose DuckDB finds its extensions installed.
fn home(python: &Path) -> TempDir {
    let home = tempfile::tempdir().expect("a folder for the test can be made");
    let find = "import importlib.util as u; print(u.find_spec('duckdb_ext').submodule_search_locations[0])";
    let package = PathBuf::from(printed(Command::new(python).args(["-c", find])).trim());
    fs::create_dir(home.path().join(".duckdb")).expect("the folder can be made");
    symlink(package.join("extensions"), home.path().join(".duckdb/extensions")).expect("a link can be made");
    home
}

#[test]
fn tables_are_read_as_their_page_says() {
    let blocks = blocks("reading.md");
    only(&blocks, &["python", "python spark", "text"]);
    let folder = tempfile::tempdir().expect("a folder for the test can be made");
    let demo = folder.path().join("demo");
    printed(Command::new(tests::riverrun()).arg("init").arg(&demo));
    printed(Command::new(tests::riverrun()).arg("-C").arg(&demo).arg("run"));
    fs::write(folder.path().join("page.py"), all_of(&blocks, "python")).expect("the script can be written");
    let python = environment("venv-tests-docs", READERS);
    let home = home(&python);
    let mut script = Command::new(&python);
    script.arg(folder.path().join("page.py")).current_dir(&demo).env("HOME", home.path());
    let told = printed(&mut script);
    for part in ["('lake', 'sender_features')", "('default', 'dm_spam__log')", "busy of 1682", "msgs_1h", "burst"] {
        assert!(told.contains(part), "no {part} in\n{told}");
    }
}
