//! `--as NAME`: two people run one project in one environment, and neither writes over the other.

use crate::folder::Folder;
use serde_json::Value;

const SETTINGS: &str = "[project]\nname = \"p\"\n[env.dev]\nhistory = { warehouse = \"w\" }\nlive = { topics = \"t\" }\n\
                        [env.dev.names]\nactions = [\"local:actions\"]\n\
                        [job.all]\noutputs = [\"lake.rows\", \"big\"]\n[job.some]\noutputs = [\"scores\"]\n";
const SQL: &str = "
CREATE STREAM events (id BIGINT, n BIGINT, at TIMESTAMP, WATERMARK FOR at AS at QUIET NEVER) HISTORY raw.events LIVE events
  ON BAD ROW DEAD LETTER TO lake.bad;
ARCHIVE events;
INSERT INTO lake.rows SELECT id, n FROM events;
CREATE DECISION big ON events SUBJECT id TO actions AS RULE large WHEN n > 5 THEN 'look';
INSERT INTO TOPIC scores SELECT id, n AS score FROM events;
";
const EVENTS: &str = "id,n,at\n1,1,2026-01-01\n2,7,2026-01-02\n3,9,2026-01-03\nx,1,2026-01-04\n";

fn project() -> Folder {
    let folder = Folder::empty();
    folder.write("riverrun.toml", SETTINGS).write("pipelines/a.sql", SQL).write("events.csv", EVENTS);
    folder.done(&["publish", "events", "events.csv"]);
    folder.done(&["run", "archive", "--until-caught-up"]);
    folder
}

fn sum(folder: &Folder, query: &str, more: &[&str]) -> i64 {
    let arguments = [&["query", query, "--json"], more].concat();
    let row: Value = serde_json::from_str(&folder.done(&arguments).out).expect("a row of JSON");
    row["s"].as_i64().unwrap_or_else(|| panic!("{row}"))
}

#[test]
fn what_somebody_writes_as_themselves_is_theirs_and_what_they_read_is_everybodys() {
    let folder = project();
    folder.done(&["run", "all", "--until-caught-up"]);
    let before: Vec<String> = folder.files().into_iter().collect();
    // Ana's pipeline differs, and reads the same archive and topic.
    folder.replace("pipelines/a.sql", "SELECT id, n FROM events", "SELECT id, n * 100 AS n FROM events");
    let ran = folder.done(&["run", "all", "--as", "ana", "--until-caught-up"]);
    for told in ["lake.ana_rows", "ana_actions", "ana_big__log", "lake.ana_bad__all", "riverrun why"] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
    let rows = "SELECT sum(n) AS s FROM lake.rows";
    assert_eq!((sum(&folder, rows, &[]), sum(&folder, rows, &["--as", "ana"])), (17, 1_700));
    assert_eq!(sum(&folder, "SELECT sum(n) AS s FROM lake.ana_rows", &[]), 1_700);
    // Another job of hers, found by its name in the settings.
    let some = folder.done(&["run", "some", "--as", "ana", "--until-caught-up"]);
    assert!(some.err.contains("wrote topic ana_scores"), "{}", some.err);
    // She goes on where she was, and nobody else's job has moved.
    let again = folder.done(&["run", "all", "--as", "ana", "--until-caught-up"]);
    assert!(again.err.contains("rows in: 0"), "{}", again.err);
    assert!(folder.files().into_iter().collect::<Vec<_>>().len() > before.len());
    let gone: Vec<&String> = before.iter().filter(|name| !folder.files().contains(*name)).collect();
    assert!(gone.iter().all(|name| name.contains("/.locks/") || name.contains("-journal")), "{gone:?}");
    folder.replace("pipelines/a.sql", "n * 100 AS n", "n");
    let mine = folder.done(&["run", "all", "--until-caught-up"]);
    assert!(mine.err.contains("rows in: 0"), "{}", mine.err);
    let id = folder.done(&[
        "query",
        "SELECT decision_id AS s FROM big__log WHERE n > 5",
        "--as",
        "ana",
        "--json",
        "-n",
        "1",
    ]);
    let id: Value = serde_json::from_str(&id.out).expect("a row of JSON");
    let why = folder.done(&["why", id["s"].as_str().unwrap(), "--as", "ana"]);
    assert!(why.out.contains("decision big"), "{}", why.out);
    let tail = |more: &[&str]| {
        let arguments = [&["tail", "actions", "--from-start", "--until-caught-up", "--json"], more].concat();
        folder.done(&arguments).out.lines().count()
    };
    assert_eq!((tail(&[]), tail(&["--as", "ana"]), tail(&["-n", "1"])), (1, 1, 1));
}

#[test]
fn what_everybody_reads_is_not_written_as_somebody() {
    let folder = project();
    let before = folder.files();
    for (arguments, told) in [
        (&["publish", "events", "events.csv", "--as", "ana"][..], "leave --as out, or use an environment of your own"),
        (&["run", "archive", "--as", "ana"], "leave --as out, or use an environment of your own"),
        (&["pubsub", "mirror", "events", "--as", "ana"], "leave --as out, or use an environment of your own"),
        (&["run", "all", "--as", "Ana"], "expected a name of at most 32 letters"),
        (&["run", "all", "--as", "a_b"], "expected a name of at most 32 letters"),
        (&["check", "--as", "../x"], "expected a name of at most 32 letters"),
    ] {
        let ran = folder.run(arguments);
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert!(ran.err.contains(told), "{arguments:?}: {}", ran.err);
    }
    assert_eq!(folder.files(), before);
    folder.replace("pipelines/a.sql", "lake.rows", "lake.ana_rows").replace(
        "riverrun.toml",
        "lake.rows",
        "lake.ana_rows",
    );
    let taken = folder.run(&["run", "all", "--as", "ana"]);
    assert!(taken.err.contains("lake.ana_rows begins with it already"), "{}", taken.err);
}
