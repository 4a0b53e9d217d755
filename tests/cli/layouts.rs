//! PARTITION BY, SORT BY and PROPERTIES of outputs, and queries that open no file which they do not need.

use crate::folder::Folder;
use std::path::{Path, PathBuf};

const EVENTS: &str = "CREATE STREAM events (id BIGINT, who TEXT, at TIMESTAMP, WATERMARK FOR at AS at)\n  \
                      HISTORY FILES 'events.csv';\n";

fn project(insert: &str) -> Folder {
    let folder = Folder::empty();
    folder.write("pipelines/all.sql", &format!("{EVENTS}{insert}"));
    let row = |id: u64| format!("{id},user {},2026-01-0{} 00:00:{:02}\n", id % 3, 1 + id / 20, id % 60);
    folder.write("events.csv", &format!("id,who,at\n{}", (0..60).map(row).collect::<String>()));
    folder
}

/// The data files of a table whose paths hold a text.
fn data_files(folder: &Folder, table: &str, with: &str) -> Vec<PathBuf> {
    let begins = format!("warehouse/{table}/data/");
    let files = folder.files();
    let found = files.iter().filter(|name| name.starts_with(&begins) && name.ends_with(".parquet"));
    found.filter(|name| name.contains(with)).map(|name| folder.path().join(Path::new(name))).collect()
}

#[test]
fn an_output_lies_as_its_statement_says_and_keeps_that() {
    let layout = "PARTITION BY day(AT), bucket(2, Id) SORT BY WHO DESC, id\n  \
                  PROPERTIES ('write.target-file-size-bytes' = 1000000)";
    let folder = project(&format!("INSERT INTO lake.parts {layout}\nSELECT id, who, at FROM events;\n"));
    folder.done(&["check"]);
    folder.done(&["run"]);
    for day in 1..4 {
        for bucket in 0..2 {
            let files = data_files(&folder, "lake/parts", &format!("at_day=2026-01-0{day}/id_bucket={bucket}/"));
            assert_eq!(files.len(), 1, "day {day}, bucket {bucket}");
        }
    }
    let day = "SELECT count(*) AS n, min(id) AS least FROM lake.parts WHERE at >= '2026-01-02' AND at < '2026-01-03'";
    assert_eq!(folder.done(&["query", day, "--csv"]).out, "n,least\n20,20\n");
    // With other partitions it is another table.
    let other = format!("{EVENTS}INSERT INTO lake.parts PARTITION BY month(at) SELECT id, who, at FROM events;\n");
    folder.write("pipelines/all.sql", &other);
    folder.done(&["run", "--fresh"]);
    let months = folder.files().into_iter().filter(|name| name.contains("at_month=2026-01/")).count();
    assert!(months > 0, "the new table is cut by month");
    assert_eq!(folder.done(&["query", day, "--csv"]).out, "n,least\n20,20\n");
}

#[test]
fn data_files_in_a_store_of_a_table_on_a_disk_are_refused_before_it_is_made() {
    let folder = project(
        "INSERT INTO lake.parts PROPERTIES ('write.data.path' = 's3://lake/parts')\nSELECT id, who, at FROM events;\n",
    );
    for command in ["check", "run"] {
        let refused = folder.run(&[command]);
        let told = refused.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(refused.code == 1 && told.contains("expected both on a disk, or both in a store"), "{command}: {told}");
        assert!(told.contains("all.sql"), "it is told where the statement stands: {told}");
    }
    assert_eq!(data_files(&folder, "lake/parts", ""), Vec::<PathBuf>::new());
}

#[test]
fn queries_open_no_file_of_which_the_table_tells_that_they_do_not_need_it() {
    let folder = project("INSERT INTO lake.parts PARTITION BY day(at) SELECT id, who, at FROM events;\n");
    folder.done(&["run"]);
    let others = [data_files(&folder, "lake/parts", "2026-01-01"), data_files(&folder, "lake/parts", "2026-01-03")];
    for file in others.concat() {
        std::fs::remove_file(file).expect("the file is there");
    }
    let old = "CREATE STREAM old (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY lake.parts;\n\
               CREATE VIEW recent AS SELECT id, at FROM old WHERE at >= TIMESTAMP '2026-01-02';\n";
    folder.write("pipelines/all.sql", old);
    for of in ["lake.parts", "old", "recent"] {
        let day = |from: &str, to: &str| format!("SELECT count(*) AS n FROM {of} WHERE at >= '{from}' AND at < '{to}'");
        let ran = folder.done(&["query", &day("2026-01-02", "2026-01-03"), "--csv"]);
        assert_eq!(ran.out, "n\n20\n", "{of}");
        let none = folder.done(&["query", &day("2027-01-02", "2027-01-03"), "--csv"]);
        assert_eq!(none.out, "n\n0\n", "{of}");
        let refused = folder.run(&["query", &day("2026-01-02", "2026-01-04"), "--csv"]);
        assert_eq!(refused.code, 1, "{of}: {}", refused.err);
        assert!(refused.err.contains("at_day=2026-01-03"), "{of}: {}", refused.err);
    }
}

/// What a command said, in one line.
fn told(ran: &crate::folder::Ran) -> String {
    format!("{} {}", ran.out, ran.err).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn check_and_plan_tell_what_the_run_would_of_a_table_that_is_there() {
    let insert =
        |layout: &str, id: &str| format!("INSERT INTO lake.t {layout} SELECT {id} AS id, who, at FROM events;\n");
    let folder = project(&insert("PARTITION BY bucket(4, who) SORT BY id", "id"));
    folder.done(&["run"]);
    for (layout, id, expected) in [
        (
            "PARTITION BY bucket(8, who)",
            "id",
            "has PARTITION BY bucket(4, who), and the statement says PARTITION BY bucket(8",
        ),
        ("SORT BY id DESC", "id", "has SORT BY id NULLS LAST, and the statement says SORT BY id DESC"),
        ("", "CAST(id AS TEXT)", "column \"id\" is BIGINT, and the job writes TEXT"),
    ] {
        folder.write("pipelines/all.sql", &format!("{EVENTS}{}", insert(layout, id)));
        for command in ["check", "plan", "run"] {
            let refused = folder.run(&[command]);
            assert!(refused.code == 1 && told(&refused).contains(expected), "{command}: {}", told(&refused));
            assert!(told(&refused).contains("--fresh makes the table anew"), "{command}: {}", told(&refused));
        }
    }
    folder.done(&["run", "--fresh"]);
    folder.done(&["check"]);
    folder.write("pipelines/all.sql", &format!("{EVENTS}{}", insert("PARTITION BY bucket(2, who)", "id")));
    folder.run(&["check"]);
    folder.write("pipelines/all.sql", &format!("{EVENTS}{}", insert("", "id")));
    folder.done(&["run", "--fresh"]);
    folder.done(&["check"]);
    assert!(told(&folder.done(&["plan"])).contains("`riverrun run` goes on"));
}

#[test]
fn a_table_that_requires_another_column_is_told_by_check() {
    let folder = project("INSERT INTO lake.t SELECT id, at FROM events;\n");
    folder.done(&["run"]);
    let newest = folder.files().into_iter().filter(|name| name.ends_with(".metadata.json")).max();
    let file = folder.path().join(newest.expect("the table is there"));
    let mut metadata: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("it can be read")).expect("it is JSON");
    metadata["last-column-id"] = 3.into();
    let fields = metadata["schemas"][0]["fields"].as_array_mut().expect("the table has fields");
    fields.push(serde_json::json!({ "id": 3, "name": "must", "required": true, "type": "long" }));
    std::fs::write(&file, metadata.to_string()).expect("it can be written");
    for command in ["check", "run"] {
        let refused = folder.run(&[command]);
        let expected = "requires column \"must\", and the output does not have it";
        assert!(refused.code == 1 && told(&refused).contains(expected), "{command}: {}", told(&refused));
    }
}

#[test]
fn properties_that_files_cannot_have_are_told_by_check_and_those_of_others_once_by_the_run() {
    for (property, expected) in [
        ("'write.parquet.compression-codec' = 'lzo'", "expected: zstd, snappy, gzip, lz4, brotli, uncompressed"),
        ("'write.parquet.compression-level' = -1", "expected a whole number from 1 to 22"),
        ("'write.format.default' = 'orc'", "expected: parquet"),
        ("'write.metadata.compression-codec' = 'zstd'", "expected: none, gzip"),
        ("x = 1", "write 'x': a text is in single quotes"),
    ] {
        let folder = project(&format!("INSERT INTO lake.t PROPERTIES ({property}) SELECT id, at FROM events;\n"));
        let refused = folder.run(&["check"]);
        assert!(refused.code == 1 && told(&refused).contains(expected), "{property}: {}", told(&refused));
    }
    let folder = project("INSERT INTO lake.t SORT BY upper(who) SELECT id, who, at FROM events;\n");
    assert!(told(&folder.run(&["check"])).contains("SORT BY takes columns as they are"));
    let properties = "PROPERTIES ('comment' = 'of ana', 'write.parquet.compression-codec' = 'gzip')";
    let folder = project(&format!("INSERT INTO lake.t {properties} SELECT id, at FROM events;\n"));
    folder.done(&["run"]);
    assert!(folder.done(&["table", "describe", "lake.t"]).out.contains("comment = of ana"));
    let newest = folder.files().into_iter().filter(|name| name.ends_with(".metadata.json")).max();
    let file = folder.path().join(newest.expect("the table is there"));
    let text = std::fs::read_to_string(&file).expect("it can be read");
    std::fs::write(&file, text.replace("\"gzip\"", "\"lzo\"")).expect("it can be written");
    folder.write("pipelines/all.sql", &format!("{EVENTS}INSERT INTO lake.t SELECT id, at FROM events;\n"));
    for command in ["check", "run"] {
        let ran = folder.done(&[command]);
        let expected = "has write.parquet.compression-codec = lzo, expected";
        assert_eq!(told(&ran).matches(expected).count(), 1, "{command}: {}", told(&ran));
    }
}
