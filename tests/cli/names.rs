//! The names of what a project writes: in tests of the project, and in queries.

use crate::folder::Folder;

/// A project that writes a table, a topic, late rows, dead letters, and a decision's actions and log.
fn project(test: &str) -> Folder {
    let folder = Folder::empty();
    let sql = "CREATE STREAM plays (id TEXT, score BIGINT, at TIMESTAMP,\n  \
               WATERMARK FOR at AS at - INTERVAL '1' SECOND LATE TO lake.late_plays\n\
               ) HISTORY FILES 'plays.csv' ON BAD ROW DEAD LETTER TO lake.bad_plays;\n\
               CREATE VIEW halves AS SELECT id, score, CAST(130 - 2 * score AS TINYINT)::INT AS half FROM plays;\n\
               INSERT INTO lake.halves SELECT id, half FROM halves;\n\
               INSERT INTO TOPIC high SELECT id FROM plays WHERE score > 5;\n\
               CREATE DECISION fraud ON halves SUBJECT id TO actions AS\n  \
               RULE high WHEN score > 5 THEN 'block'\n  RULE low SHADOW WHEN score < 3 THEN 'review';\n";
    folder.write("pipelines/plays.sql", sql);
    folder.write("plays.csv", "id,score,at\na,1,2026-01-01 00:00:00\nb,9,2026-01-01 00:00:01\n");
    let given = "TEST 'what is written';\nGIVEN plays (id, score, at) VALUES\n  \
                 ('a', 1, TIMESTAMP '2026-01-01 00:00:00'), ('b', 9, TIMESTAMP '2026-01-01 00:00:01'),\n  \
                 ('c', 2, TIMESTAMP '2026-01-01 00:00:02');\n";
    folder.write("tests/plays.test.sql", &format!("{given}{test}\n"));
    folder
}

#[test]
fn a_test_expects_rows_of_everything_that_a_project_writes() {
    let expects = [
        "EXPECT EXACTLY lake.halves (id, half) VALUES ('b', 112), ('c', 126);",
        "EXPECT EXACTLY high VALUES ('b');",
        "EXPECT EXACTLY Lake.Bad_Plays (stream) VALUES ('plays');",
        "EXPECT NO ROWS lake.late_plays;",
        "EXPECT EXACTLY fraud (subject, action) VALUES ('b', 'block');",
        "EXPECT EXACTLY fraud__log (subject, matched, acted) VALUES ('c', 'low', NULL), ('b', 'high', 'high');",
        "EXPECT EXACTLY actions (subject, rule, action) VALUES ('b', 'high', 'block');",
        "EXPECT EXACTLY plays (id) VALUES ('a'), ('b'), ('c');",
    ];
    for expect in expects.iter().map(|expect| (*expect).to_owned()).chain([expects.join("\n")]) {
        let ran = project(&expect).run(&["test"]);
        assert!(ran.code == 0 && ran.err.starts_with("1 passed, 0 failed"), "{expect}\n{}{}", ran.out, ran.err);
    }
    // A row that is not there is one that fails.
    for (from, to) in [("126", "127"), ("('b', 'block')", "('a', 'block')"), ("'low', NULL", "'high', NULL")] {
        let ran = project(&expects.join("\n").replace(from, to)).run(&["test"]);
        assert!(ran.code == 1 && ran.out.contains("no row ("), "{from}\n{}{}", ran.out, ran.err);
    }
}

#[test]
fn a_test_of_a_name_that_nothing_has_offers_one_that_is_near() {
    for (wrong, near) in [("lake.halfs", "lake.halves"), ("fraud_log", "fraud__log"), ("action", "actions")] {
        let ran = project(&format!("EXPECT {wrong} (id) VALUES ('a');")).run(&["test"]);
        let expected = format!("no view, decision or output is named \"{wrong}\"");
        assert!(ran.code == 1 && ran.err.contains(&expected), "{}", ran.err);
        assert!(ran.err.contains(&format!("did you mean \"{near}\"?")), "{}", ran.err);
    }
}

#[test]
fn a_query_says_where_the_rows_of_decisions_and_topics_are() {
    let folder = project("EXPECT fraud (action) VALUES ('block');");
    let told = |query: &str, expected: &[&str]| {
        let ran = folder.run(&["query", query]);
        assert_eq!(ran.code, 1, "{query}");
        for expected in expected {
            assert!(ran.err.contains(expected), "{query}: {expected}\n{}", ran.err);
        }
        assert!(!ran.err.contains("CREATE STREAM"), "{}", ran.err);
    };
    told("FROM fraud", &["\"fraud\" is a decision", "its records are rows of fraud__log: FROM fraud__log"]);
    told("FROM fraud__log", &["\"fraud__log\" is a table that the project writes", "`riverrun run` writes it"]);
    told("FROM lake.late_plays", &["\"lake.late_plays\" is a table that the project writes"]);
    let topic = ["\"actions\" is a topic that the project writes", "`riverrun tail actions`", "FROM fraud__log"];
    told("SELECT * FROM Actions", &topic);
    told(
        "FROM high",
        &["\"high\" is a topic that the project writes", "hint: `riverrun tail high` shows its messages"],
    );
    folder.done(&["run"]);
    let rows = folder.done(&["query", "SELECT subject, acted FROM fraud__log ORDER BY ALL", "--csv"]);
    assert_eq!(rows.out, "subject,acted\nb,high\n");
    told("FROM fraud", &["FROM fraud__log"]);
    told("SELECT * FROM actions", &topic);
    // A view of a job cannot read what jobs write.
    folder.write("pipelines/more.sql", "CREATE VIEW more AS SELECT subject FROM fraud__log;\n");
    let ran = folder.run(&["check"]);
    assert!(ran.code == 1 && ran.err.contains("\"fraud__log\" is a table that the project writes"), "{}", ran.err);
    assert!(ran.err.contains("`riverrun query \"FROM fraud__log\"` reads it"), "{}", ran.err);
}

#[test]
fn a_given_of_a_stream_that_nothing_reads_says_so() {
    let folder = project("EXPECT NO ROWS lake.halves;");
    let more = "CREATE STREAM others (id TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE others;\n";
    folder.write("pipelines/others.sql", more);
    folder.replace("tests/plays.test.sql", "EXPECT", "GIVEN others (id) VALUES ('a');\nEXPECT");
    let ran = folder.run(&["test"]);
    assert!(ran.err.contains("nothing that the test expects reads stream \"others\""), "{}", ran.err);
    assert!(ran.err.contains("leave the GIVEN out, or EXPECT rows of what reads others"), "{}", ran.err);
    folder.replace("tests/plays.test.sql", "GIVEN others", "GIVEN other");
    let ran = folder.run(&["test"]);
    assert!(
        ran.err.contains("no stream is named \"other\"; did you mean") || ran.err.contains("did you mean \"others\"?"),
        "{}",
        ran.err
    );
}
