//! Pipelines that change between two runs of a job.

use crate::commands::{job, printed};
use crate::kills::{BURST, RUN, Trial};
use crate::outputs::check_decisions;
use crate::scene::SQL;
use dataflow::EventTime;
use serde_json::Value;
use std::process::Command;
use tests::machine::{SECOND, now, pause};
use tests::{Program, riverrun, surplus, table_rows};

/// The same under other names: a view, aliases, a window, and a column of a stream.
fn renamed() -> String {
    let mut sql = SQL.to_owned();
    for (from, to) in [
        ("CREATE VIEW counted AS", "-- What senders do.\nCREATE VIEW senders AS"),
        ("FROM counted c", "FROM senders c"),
        ("FROM counted;", "FROM senders;"),
        ("ON counted", "ON senders"),
        ("c.", "feature."),
        ("senders c", "senders feature"),
        ("m.", "message."),
        ("messages m\n", "messages message\n"),
        ("OVER w ", "OVER recent "),
        ("WINDOW w AS", "WINDOW recent AS"),
        (" size BIGINT", " length BIGINT FROM size"),
        ("message.size", "message.length"),
    ] {
        assert!(sql.contains(from), "{from} is not in {sql}");
        sql = sql.replace(from, to);
    }
    sql
}

#[test]
fn a_job_whose_parts_are_called_otherwise_keeps_its_state() {
    let mut trial = Trial::new(41);
    for sql in [SQL, &renamed(), SQL, &renamed()] {
        trial.write(sql);
        let mut running = trial.program(&[]);
        running.ready();
        trial.publish(BURST);
        pause(trial.chance.between(0, 600_000));
        trial.publish(BURST);
        running.signal("KILL");
        let ended = running.ended(RUN).expect("it ends");
        assert_eq!(ended.code, None, "{}", ended.told);
    }
    trial.write(&renamed());
    let told = trial.to_end(&["--until-caught-up"]);
    assert!(told.contains("goes on from checkpoint"), "{told}");
    trial.write(SQL);
    trial.compare("a job that was renamed");
}

/// A table more, whose rows come as their messages do.
fn with_reports() -> String {
    format!("{SQL}INSERT INTO lake.reports SELECT sender, weight FROM reports;\n")
}

/// The same with a window more, whose count is a column of two tables, and a column more of the reports.
fn with_a_window() -> String {
    let mut sql = with_reports();
    for (from, to) in [
        ("AND m.sent_at) AS weight_20s\n", "AND m.sent_at) AS weight_20s, count(*) OVER long AS n_40s\n"),
        (
            "WINDOW w AS",
            "WINDOW long AS (PARTITION BY m.sender ORDER BY m.sent_at RANGE INTERVAL '40' SECOND PRECEDING),\n       w AS",
        ),
        ("SELECT sender, weight FROM reports", "SELECT sender, weight, reported_at FROM reports"),
    ] {
        assert!(sql.contains(from), "{from} is not in {sql}");
        sql = sql.replace(from, to);
    }
    sql
}

impl Trial {
    /// Runs the job until it has written rows and read its history, and ends it as people do.
    fn run_and_stop(&mut self) {
        let mut running = self.listening(&["run", "--workers", "2"]);
        let begun = now();
        let is_ahead = |shown: &Value| {
            let streams = shown["running"]["streams"].as_array().unwrap();
            let done = |stream: &Value| stream["history_rows"] == stream["history_total"];
            streams.iter().all(done) && shown["running"]["rows_written"].as_i64().unwrap() > 0
        };
        while !is_ahead(&job(self.path())) {
            assert!(now() < begun + RUN, "the job writes nothing: {}", running.told());
            self.publish(20);
            pause(SECOND / 10);
        }
        printed(self.path(), &["stop", "--no-savepoint", "--json"]);
        assert_eq!(running.ended(RUN).expect("it ends").code, Some(0));
    }

    fn rows(&self, environment: &str, table: &str) -> Vec<String> {
        table_rows(&self.project(environment).warehouse().unwrap(), table)
    }

    fn start(&self) -> EventTime {
        let checkpoints = self.project("dev").checkpoints_path(None);
        checkpoint::look(&checkpoints).unwrap().expect("there are checkpoints").facts.start
    }

    /// What a command says for people, and whether it was a success.
    fn said(&self, arguments: &[&str]) -> (String, bool) {
        let output = Command::new(riverrun()).arg("--project").arg(self.path()).args(arguments).output().unwrap();
        (String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(), output.status.success())
    }
}

/// A window that is added gets its state from history, while the job is killed; all else goes on where it was.
fn trial(seed: u64) {
    let mut trial = Trial::new(seed);
    trial.write(&with_reports());
    if trial.chance.permille(500) {
        trial.to_end(&["archive", "--until-caught-up"]);
        trial.publish(BURST);
    }
    trial.run_and_stop();
    let (start, before, reports) =
        (trial.start(), trial.rows("dev", "lake.counted"), trial.rows("dev", "lake.reports"));
    trial.publish(BURST);
    trial.write(&with_a_window());
    let (told, is_success) = trial.said(&["run"]);
    assert!(!is_success && told.contains("riverrun run --apply"), "seed {seed}: {told}");
    let plan: Value = serde_json::from_str(&printed(trial.path(), &["plan", "--json"])).unwrap();
    assert_eq!(plan["changed"], true, "{plan}");
    let counted = plan["outputs"].as_array().unwrap().iter().find(|output| output["output"] == "lake.counted").unwrap();
    assert_eq!(counted["columns_added"], serde_json::json!([{ "column": "n_40s", "type": "BIGINT" }]), "{plan}");
    assert_eq!(plan["nothing_kept_because"], Value::Null, "seed {seed}: {plan}");
    let state = |step: &str| -> Vec<Value> {
        let steps = plan["steps"].as_array().unwrap().iter();
        steps.filter(|other| other["step"].as_str().unwrap().contains(step)).map(|step| step["state"].clone()).collect()
    };
    let (dedup, windows): (Vec<Value>, Vec<Value>) = (state("messages.dedup"), state(".window["));
    assert!(dedup.iter().all(|state| state == "kept") && !dedup.is_empty(), "seed {seed}: {plan}");
    let are_built = windows.iter().any(|state| state == "built" || state == "partly kept");
    assert!(are_built, "seed {seed}: {plan}");
    for _ in 0..trial.chance.below(4) {
        let mut running = Program::start(trial.path(), &["run", "--apply"]);
        pause(trial.chance.between(0, 900_000));
        trial.publish(BURST / 4);
        running.signal("KILL");
        running.ended(RUN).expect("it ends");
    }
    trial.to_end(&["--apply", "--until-caught-up"]);
    let newest = plan["checkpoint"]["number"].as_u64().unwrap();
    let number = |trial: &Trial| job(trial.path())["checkpoint"]["number"].as_u64().unwrap();
    let applied = number(&trial);
    assert!(applied > newest, "seed {seed}: checkpoint {applied} after {newest}");
    trial.to_end(&["--until-caught-up"]);
    assert!(number(&trial) >= applied, "seed {seed}: the numbers of checkpoints go on");
    trial.to_end(&["--until-caught-up", "--env", "oracle", "--fresh"]);

    assert_eq!(trial.rows("dev", "lake.labelled"), trial.rows("oracle", "lake.labelled"), "seed {seed}");
    check_widened(&trial, ("lake.counted", &before), seed);
    check_widened(&trial, ("lake.reports", &reports), seed);
    check_decisions(&trial.project("dev"), &trial.project("oracle"), start, &format!("seed {seed}"));
}

/// Every row is there once; those from before the change have NULL in the last column.
fn check_widened(trial: &Trial, (table, before): (&str, &[String]), seed: u64) {
    let (found, oracle) = (trial.rows("dev", table), trial.rows("oracle", table));
    let others = |rows: &[String]| -> Vec<String> {
        let mut rows: Vec<String> = rows.iter().map(|row| row.rsplit_once('|').unwrap().0.to_owned()).collect();
        rows.sort_unstable();
        rows
    };
    assert_eq!(others(&found), others(&oracle), "seed {seed}: {table} without what is new");
    let (old, new): (Vec<String>, Vec<String>) = found.into_iter().partition(|row| row.ends_with("|NULL"));
    assert_eq!(others(&old), before, "seed {seed}: {table}, rows that were there");
    let odd = surplus(&new, &oracle);
    assert!(!new.is_empty() && odd.is_empty(), "seed {seed}: {table}, {} new rows, odd: {odd:?}", new.len());
}

#[test]
fn a_window_that_is_added_has_the_rows_of_a_run_that_always_had_it() {
    let trials = std::env::var("LASTS_KILLS").map_or(3, |seeds| seeds.parse().unwrap());
    (0..trials).for_each(trial);
}

/// So many messages that building state from them takes longer than to ask for it.
const MANY: u64 = 300_000;

#[test]
fn a_run_that_builds_state_is_seen_and_stopped_by_the_commands() {
    let mut trial = Trial::new(6);
    trial.write(&with_reports());
    trial.publish(MANY);
    trial.run_and_stop();
    let newest = job(trial.path())["checkpoint"]["number"].clone();
    trial.write(&with_a_window());
    let mut running = trial.listening(&["run", "--apply", "--workers", "1"]);
    let shown = job(trial.path());
    assert_eq!(shown["state"], "building", "{shown}");
    let (told, is_success) = trial.said(&["savepoint"]);
    assert!(!is_success && told.contains("while the state of changed"), "{told}");
    let (told, is_success) = trial.said(&["stop"]);
    assert!(!is_success && told.contains("nothing has changed"), "{told}");
    let ended = running.ended(RUN).expect("it ends");
    assert!(ended.told.contains("stopped before state was built again"), "{}", ended.told);
    assert_eq!(job(trial.path())["checkpoint"]["number"], newest);
}

#[test]
fn a_change_that_readers_would_not_bear_is_refused_with_what_to_do() {
    let mut trial = Trial::new(5);
    trial.run_and_stop();
    for (from, to, why) in [
        ("SELECT c.id, c.n, EXISTS", "SELECT c.id, EXISTS", "column \"n\" of lake.labelled is gone"),
        ("SELECT c.id, c.n, EXISTS", "SELECT c.id, c.n::DOUBLE AS n, EXISTS", "DOUBLE"),
    ] {
        assert!(SQL.contains(from), "{from}");
        trial.write(&SQL.replace(from, to));
        for command in [&["plan"][..], &["run", "--apply"]] {
            let (told, is_success) = trial.said(command);
            let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(!is_success && told.contains(why), "{command:?}: {told}");
        }
    }
    trial.write(SQL);
    let (told, is_success) = trial.said(&["plan"]);
    assert!(is_success && told.contains("does what it did"), "{told}");
    let mut running = trial.program(&[]);
    running.ready();
    running.signal("KILL");
    running.ended(RUN).expect("it ends");
    trial.write(&with_a_window());
    let (told, is_success) = trial.said(&["run", "--apply"]);
    assert!(!is_success && told.contains("it was killed or still runs"), "{told}");
    trial.write(SQL);
    trial.finish("a job that was not changed in the end");
}
