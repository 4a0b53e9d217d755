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
