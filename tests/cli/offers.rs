//! What is said of a name that nothing has: the near one of its kind, else those that there are.

use crate::folder::Folder;
use crate::wrong::{plays, published};

/// The project of `init` with two jobs.
fn with_jobs() -> Folder {
    let folder = Folder::demo();
    let toml = std::fs::read_to_string(folder.path().join("riverrun.toml")).unwrap();
    let jobs = "\n[job.features]\noutputs = [\"lake.sender_features\"]\n[job.decide]\noutputs = [\"dm_spam\"]\n";
    folder.write("riverrun.toml", &format!("{toml}{jobs}"));
    folder
}

fn says(folder: &Folder, command: &[&str], text: &str) {
    let ran = folder.run(command);
    assert!(ran.code == 1 && ran.err.contains(text), "riverrun {}\n{}{}", command.join(" "), ran.out, ran.err);
}

#[test]
fn names_on_the_command_line() {
    let folder = with_jobs();
    says(&folder, &["run", "decid"], "no job \"decid\"; did you mean \"decide\"?");
    says(&folder, &["run", "everything"], "no job \"everything\"; the jobs are: decide, features, archive");
    says(&folder, &["plan", "feature"], "did you mean \"features\"?");
    says(&folder, &["savepoint", "decid"], "did you mean \"decide\"?");
    says(&folder, &["stop", "nope"], "the jobs are: decide, features, archive; no job runs here now");
    says(&folder, &["resume", "decid", "--from", "x"], "did you mean \"decide\"?");
    says(&folder, &["check", "--env", "dve"], "no environment \"dve\"; did you mean \"dev\"?");
    says(&folder, &["test", "burst rate"], "the tests are: ");
    says(
        &folder,
        &["explain", "dm_spm"],
        "no stream, view, decision or output is named \"dm_spm\"; did you mean \"dm_spam\"?",
    );
    says(&folder, &["explain", "sender_feature"], "did you mean \"sender_features\"?");
    says(&folder, &["explain", "nothing"], "expected one of messages, sender_features, scored, ");
    says(&folder, &["query", "FROM scorde"], "did you mean \"scored\"?");
    says(&folder, &["query", "FROM nothing"], "expected: one of messages, sender_features, scored");
    folder.done(&["run"]);
    says(&folder, &["query", "FROM dm_spam__lgo"], "did you mean \"dm_spam__log\"?");
    says(&folder, &["query", "FROM lake.nothing"], "lake.sender_features");
    says(&folder, &["why", "dm_spam"], "`riverrun query \"SELECT decision_id FROM dm_spam__log\" -n 5` shows ids");
    says(&folder, &["tail", "action"], "did you mean \"actions\"?");
    says(&folder, &["tail", "dm_spam"], "the actions of decision dm_spam go to topic actions");
    says(
        &folder,
        &["query", "SELECT \"a text\" FROM messages"],
        "hint: \"a text\" is a name; a text is written 'a text'",
    );
    says(&folder, &["query", "SHOW TABLES"], "`riverrun explain NAME` shows columns");
}

#[test]
fn names_of_streams_and_topics() {
    let folder = published();
    says(&folder, &["publish", "play", "plays.jsonl"], "\"play\" is no stream; did you mean \"plays\"?");
    says(&folder, &["publish", "events", "plays.jsonl"], "\"events\" is no stream; the streams are plays");
    says(&folder, &["tail", "play"], "did you mean \"plays\"?");
    says(&folder, &["run", "archive", "--to", "play=0:0:0:0"], "did you mean \"plays\"?");
    says(
        &folder,
        &["publish", "plays", "plays.jsonl", "--partitions", "3"],
        "has 1 partition, and --partitions asks for 3",
    );
    folder.done(&["publish", "plays", "plays.jsonl", "--partitions", "1"]);
    let fresh = plays();
    fresh.done(&["publish", "plays", "plays.jsonl", "--partitions", "3"]);
    fresh.done(&["publish", "plays", "plays.jsonl"]);
}

#[test]
fn keys_of_the_settings_and_outputs_of_jobs() {
    let folder = with_jobs();
    folder.replace("riverrun.toml", "outputs = [\"dm_spam\"]", "output = [\"dm_spam\"]");
    says(&folder, &["check"], "hint: did you mean \"outputs\"?");
    let folder = with_jobs();
    folder.replace("riverrun.toml", "[\"dm_spam\"]", "[\"dm_spm\"]");
    says(&folder, &["check"], "hint: did you mean \"dm_spam\"?");
    // A name without its namespace is near the one with it.
    folder.replace("riverrun.toml", "[\"dm_spm\"]", "[\"sender_feature\"]");
    says(&folder, &["check"], "hint: did you mean \"lake.sender_features\"?");
}

#[test]
fn a_stopped_name_that_is_none_lists_what_runs() {
    let folder = published();
    let mut running = tests::Program::start(&folder.path(), &["run"]);
    let socket = folder.path().join("warehouse/_riverrun/checkpoints/project/control");
    let begun = tests::machine::now();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(tests::machine::now() < begun + 60 * tests::machine::SECOND, "it does not listen: {}", running.told());
        tests::machine::pause(tests::machine::SECOND / 50);
    }
    says(&folder, &["stop", "nope"], "running now: that of all outputs, which has no name");
    running.interrupt();
    running.ended(60 * tests::machine::SECOND).expect("it ends");
}

/// A stream before statements that read one.
const STREAM: &str = "CREATE STREAM a (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE a;\n";

/// Statements with a mistyped word, that word, and the one that is meant.
const MISTYPED: [(&str, &str, &str); 45] = [
    ("CREATE STREAM b (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTROY raw.b;", "HISTROY", "HISTORY"),
    ("CREATE STREAM b (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FLIES 'b.csv';", "FLIES", "FILES"),
    (
        "CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'b.csv' ENCODNG 'latin1';",
        "ENCODNG",
        "ENCODING",
    ),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at) LIEV b;", "LIEV", "LIVE"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMRK FOR at AS at) LIVE b;", "WATERMRK", "WATERMARK"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FRO at AS at) LIVE b;", "FRO", "FOR"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at QUITE NEVER) LIVE b;", "QUITE", "QUIET"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at QUIET NEVVER) LIVE b;", "NEVVER", "NEVER"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at LAET DROP) LIVE b;", "LAET", "LATE"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at LATE DORP) LIVE b;", "DORP", "DROP"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at ARIVAL at) LIVE b;", "ARIVAL", "ARRIVAL"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' HUOR) LIVE b;", "HUOR", "HOUR"),
    (
        "CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at, DEDPU ON (at) WITHIN INTERVAL '1' DAY) LIVE b;",
        "DEDPU",
        "DEDUP",
    ),
    (
        "CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at, DEDUP ON (at) WITIN INTERVAL '1' DAY) LIVE b;",
        "WITIN",
        "WITHIN",
    ),
    (
        "CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at, DEDUP ON (at) WITHIN INTERVAL '1' DYAS) LIVE b;",
        "DYAS",
        "DAYS",
    ),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at) LIVE b ON BDA ROW SKIP;", "BDA", "BAD"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at) LIVE b ON BAD RWO SKIP;", "RWO", "ROW"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at) LIVE b ON BAD ROW SKPI;", "SKPI", "SKIP"),
    ("CREATE STREAM b (at TIMESTAMP, WATERMARK FOR at AS at) LIVE b ON BAD ROW DEAD LETER TO c;", "LETER", "LETTER"),
    ("CREATE STREM b (at TIMESTAMP, WATERMARK FOR at AS at) LIVE b;", "STREM", "STREAM"),
    ("CRAETE VIEW v AS SELECT id FROM a;", "CRAETE", "CREATE"),
    ("CREATE VIEW v AS SELCT id FROM a;", "SELCT", "SELECT"),
    ("CREATE VIEW v AS SELECT id FORM a;", "FORM", "FROM"),
    ("CREATE VIEW v AS SELECT id FROM a WHRE id > 1;", "WHRE", "WHERE"),
    (
        "CREATE VIEW v AS SELECT count(*) OVER w AS n FROM a WINDWO w AS (ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING);",
        "WINDWO",
        "WINDOW",
    ),
    (
        "CREATE VIEW v AS SELECT count(*) OVR (ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS n FROM a;",
        "OVR",
        "OVER",
    ),
    (
        "CREATE VIEW v AS SELECT count(*) OVER (PARTITON BY id ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS n FROM a;",
        "PARTITON",
        "PARTITION",
    ),
    (
        "CREATE VIEW v AS SELECT count(*) OVER (ORDER BY at RNAGE INTERVAL '1' HOUR PRECEDING) AS n FROM a;",
        "RNAGE",
        "RANGE",
    ),
    (
        "CREATE VIEW v AS SELECT count(*) OVER (ORDER BY at RANGE INTERVAL '1' HOUR PRECEEDING) AS n FROM a;",
        "PRECEEDING",
        "PRECEDING",
    ),
    (
        "CREATE VIEW v AS SELECT count(*) OVER (ORDER BY at RANGE INTERVAL '1' HUOR PRECEDING) AS n FROM a;",
        "HUOR",
        "HOUR",
    ),
    ("CREATE VIEW v AS SELECT a.id FROM a ASFO LEFT JOIN a b ON a.id = b.id AND b.at <= a.at;", "ASFO", "ASOF"),
    ("CREATE VIEW v AS SELECT a.id FROM a ASOF LEFT JION a b ON a.id = b.id AND b.at <= a.at;", "JION", "JOIN"),
    ("INSERT ITNO t SELECT id FROM a;", "ITNO", "INTO"),
    ("INSERT INTO TOPC t SELECT id FROM a;", "TOPC", "TOPIC"),
    ("ARCHIV a;", "ARCHIV", "ARCHIVE"),
    ("CREATE MODEL m FROM 'm.onnx' INPTS (id);", "INPTS", "INPUTS"),
    ("CREATE MODEL m FROM 'm.onnx' INPUTS (id) OUTPT label;", "OUTPT", "OUTPUT"),
    ("CREATE MODEL m FROM 'm.onnx' INPUTS (id) OUTPUT probabilty OF 1;", "probabilty", "probability"),
    ("CREATE EXPERIMENT e ON id ARMES (a 50, b 50);", "ARMES", "ARMS"),
    ("CREATE DECISION d ON a SUBJCT id TO t AS RULE r WHEN id > 1 THEN 'x';", "SUBJCT", "SUBJECT"),
    ("CREATE DECISION d ON a SUBJECT id TO t AS RUEL r WHEN id > 1 THEN 'x';", "RUEL", "RULE"),
    ("CREATE DECISION d ON a SUBJECT id TO t AS RULE r SHADOWS WHEN id > 1 THEN 'x';", "SHADOWS", "SHADOW"),
    ("CREATE DECISION d ON a SUBJECT id TO t AS RULE r WHEN id > 1 TEHN 'x';", "TEHN", "THEN"),
    (
        "CREATE DECISION d ON a SUBJECT id TO t AS RULE r WHEN id > 1 THEN 'x' ONEC PER INTERVAL '1' HOUR;",
        "ONEC",
        "ONCE",
    ),
    ("CREATE DECISION d ON a SUBJECT id TO t AS RULE r WHEN id > 1 THEN 'x' ONCE PRE INTERVAL '1' HOUR;", "PRE", "PER"),
];

#[test]
fn mistyped_words_of_statements() {
    let mut wrong = Vec::new();
    for (statement, word, meant) in MISTYPED {
        let folder = Folder::empty();
        folder.write("pipelines/a.sql", &format!("{STREAM}{statement}\n"));
        let ran = folder.run(&["check"]);
        let column = statement.find(word).expect("the word is in the statement") + 1;
        let place = format!("pipelines/a.sql:2:{column}: error: ");
        let hint = format!("hint: did you mean \"{meant}\"?");
        let carets = format!("\n  | {}{}\n", " ".repeat(column - 1), "^".repeat(word.len()));
        if ![place, hint, carets].iter().all(|part| ran.err.contains(part)) {
            wrong.push(format!("{word}, expected {meant}:\n{}", ran.err));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), MISTYPED.len(), wrong.join("\n"));
}

#[test]
fn words_that_are_right_are_offered_nothing_else() {
    let folder = Folder::empty();
    for statement in [
        "INSERT INTO t VALUES (1);",
        "CREATE VIEW v AS SELECT id FROM a LIMIT;",
        "CREATE VIEW v AS SELECT desk !! 5 FROM a;",
    ] {
        folder.write("pipelines/a.sql", &format!("{STREAM}{statement}\n"));
        let ran = folder.run(&["check"]);
        assert!(ran.code == 1 && !ran.err.contains("did you mean"), "{}", ran.err);
    }
}

#[test]
fn mistyped_words_of_tests() {
    let folder = Folder::demo();
    for (clause, word, meant) in [
        ("EXPECT EXACTY dm_spam (subject) VALUES (1);", "EXACTY", "EXACTLY"),
        ("EXPECT NO RWOS dm_spam;", "RWOS", "ROWS"),
        ("GIVEN MODEL spam SCROES 0.1;", "SCROES", "SCORES"),
    ] {
        folder.write("tests/a.test.sql", &format!("TEST 'a';\n{clause}\n"));
        let ran = folder.run(&["test"]);
        let place = format!("tests/a.test.sql:2:{}: error: ", clause.find(word).unwrap() + 1);
        let hint = format!("did you mean \"{meant}\"?");
        assert!(ran.code == 1 && ran.err.contains(&place) && ran.err.contains(&hint), "{}", ran.err);
    }
}

#[test]
fn paths_that_are_not_there() {
    let folder = Folder::demo();
    let sql = "pipelines/spam.sql";
    folder.replace(sql, "'data/messages.csv'", "'data/mesages.csv'");
    says(&folder, &["check"], "no file matches \"data/mesages.csv\"; did you mean \"data/messages.csv\"?");
    says(&folder, &["run"], "did you mean \"data/messages.csv\"?");
    folder.replace(sql, "'data/mesages.csv'", "'dta/*.csv'");
    says(&folder, &["check"], "did you mean \"data/*.csv\"?");
    folder.replace(sql, "'dta/*.csv'", "'data/*.parquet'");
    says(&folder, &["check"], "no file matches \"data/*.parquet\"; \"data\" holds messages.csv");
    folder.replace(sql, "'data/*.parquet'", "'data/messages.csv'").replace(sql, "models/spam.onnx", "models/spma.onnx");
    says(&folder, &["check"], "there is no such file; did you mean \"models/spam.onnx\"?");
    says(&folder, &["model", "check", "models/spma.onnx"], "did you mean \"models/spam.onnx\"?");
    let folder = published();
    says(&folder, &["publish", "plays", "play.jsonl"], "no file matches \"play.jsonl\"; did you mean \"plays.jsonl\"?");
}

#[test]
fn sections_and_keys_of_the_settings() {
    let folder = Folder::demo();
    let toml = std::fs::read_to_string(folder.path().join("riverrun.toml")).unwrap();
    for (right, wrong) in [
        ("[project]", "[projct]"),
        ("[env.dev]", "[evn.dev]"),
        ("name =", "nmae ="),
        ("history =", "histroy ="),
        ("warehouse =", "warehose ="),
        ("live    =", "liev    ="),
        ("topics =", "topcs ="),
    ] {
        folder.write("riverrun.toml", &toml.replacen(right, wrong, 1));
        let word = |text: &str| text.trim_matches(['[', ']', '=', ' ']).split('.').next().unwrap().to_owned();
        says(&folder, &["check"], &format!("unknown field `{}`", word(wrong)));
        says(&folder, &["check"], &format!("did you mean \"{}\"?", word(right)));
    }
}
