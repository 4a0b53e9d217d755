//! A server of Pub/Sub that the program itself starts and stops, and what tests ask of it by HTTP.

use crate::folder::RUN;
use connector_pulsar::standalone::Http;
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use tests::Program;
use tests::machine::{SECOND, now, pause};

/// The first of them builds the server's program, which takes a minute of two cores.
static BUILDS: Mutex<()> = Mutex::new(());

/// A server with topics of its own, which ends with its owner.
pub struct Server {
    data: tempfile::TempDir,
    /// HOST:PORT.
    pub address: String,
}

/// A message to publish: its data and its ordering key, which may be empty.
pub type Outgoing = (String, String);

impl Server {
    /// Starts a server; says what is missing where there cannot be one.
    pub fn start() -> Option<Server> {
        if Command::new("go").arg("version").output().is_err() {
            eprintln!("THE TESTS OF PUB/SUB DO NOT RUN: there is no go");
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "1"), "they have to run in CI");
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let _one_builds = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Command::new(tests::riverrun()).args(["pubsub", "start", "--data"]).arg(data.path()).output();
        let started = started.unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let line = String::from_utf8(started.stdout).unwrap();
        let address = line.trim().strip_prefix("export PUBSUB_EMULATOR_HOST=").unwrap().to_owned();
        Some(Server { data, address })
    }

    /// Starts it again at its address, after it was stopped.
    pub fn start_again(&self) {
        let started =
            Command::new(tests::riverrun()).args(["pubsub", "start", "--data"]).arg(self.data.path()).output();
        let started = started.unwrap();
        assert!(started.status.success(), "{}", told(&started));
        assert!(String::from_utf8_lossy(&started.stdout).contains(&self.address), "it listens elsewhere");
    }

    /// Stops it; all that it held is gone.
    pub fn stop(&self) {
        let stopped = Command::new(tests::riverrun()).args(["pubsub", "stop", "--data"]).arg(self.data.path()).output();
        assert!(stopped.is_ok_and(|stopped| stopped.status.success()), "the server cannot be stopped");
    }

    /// Stops it for a while, or lets it go on.
    pub fn signal(&self, signal: &str) {
        let process = std::fs::read_to_string(self.data.path().join("process")).unwrap();
        let sent = Command::new("kill").args([&format!("-{signal}"), process.trim()]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "{signal}");
    }

    /// A call by HTTP; gives its status and its answer.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (host, port) = self.address.split_once(':').unwrap();
        let http = Http::new(host, port.parse().unwrap());
        let (status, answer) = http.request(method, &format!("/v1/{path}"), &body.to_string()).unwrap();
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// A call that is to succeed.
    pub fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// Makes a topic of a project and a subscription of the same name, with these settings.
    pub fn make(&self, project: &str, name: &str, settings: Value) {
        self.done("PUT", &format!("projects/{project}/topics/{name}"), &json!({}));
        let mut settings = settings;
        settings["topic"] = json!(format!("projects/{project}/topics/{name}"));
        self.done("PUT", &format!("projects/{project}/subscriptions/{name}"), &settings);
    }

    /// Puts messages on a topic.
    pub fn publish(&self, project: &str, topic: &str, messages: &[Outgoing]) {
        for some in messages.chunks(500) {
            let message = |(data, key): &Outgoing| json!({ "data": base64(data.as_bytes()), "orderingKey": key });
            let body = json!({ "messages": some.iter().map(message).collect::<Vec<_>>() });
            self.done("POST", &format!("projects/{project}/topics/{topic}:publish"), &body);
        }
    }

    /// Takes messages of a subscription, without acknowledging them; gives them with the ids that do.
    pub fn pull(&self, project: &str, subscription: &str, most: usize) -> Vec<(String, Value)> {
        let path = format!("projects/{project}/subscriptions/{subscription}:pull");
        let answer = self.done("POST", &path, &json!({ "maxMessages": most, "returnImmediately": true }));
        let received = answer["receivedMessages"].as_array().cloned().unwrap_or_default();
        let of = |one: &Value| (one["ackId"].as_str().unwrap().to_owned(), one["message"].clone());
        received.iter().map(of).collect()
    }

    /// Refuses messages: they come again at once.
    pub fn refuse(&self, project: &str, subscription: &str, ids: &[String]) {
        let path = format!("projects/{project}/subscriptions/{subscription}:modifyAckDeadline");
        self.done("POST", &path, &json!({ "ackIds": ids, "ackDeadlineSeconds": 0 }));
    }

    /// A command of riverrun whose Pub/Sub is this one.
    pub fn command(&self, folder: &std::path::Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(tests::riverrun());
        command.arg("--project").arg(folder).args(arguments).env("PUBSUB_EMULATOR_HOST", &self.address);
        command.current_dir(folder);
        command
    }

    /// Runs one, which is to succeed; gives what it printed.
    pub fn printed(&self, folder: &std::path::Path, arguments: &[&str]) -> String {
        let ran = self.command(folder, arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", told(&ran));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Runs one, which is to be refused; gives what it told.
    pub fn refused(&self, folder: &std::path::Path, arguments: &[&str]) -> String {
        let ran = self.command(folder, arguments).output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}: {}", told(&ran));
        told(&ran)
    }

    /// Starts one that goes on by itself.
    pub fn begin(&self, folder: &std::path::Path, arguments: &[&str]) -> Program {
        Program::spawn(self.command(folder, arguments))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where a test stopped it.
        let _ = Command::new(tests::riverrun()).args(["pubsub", "stop", "--data"]).arg(self.data.path()).output();
    }
}

/// What a running command has said for people, without the cuts of its lines.
pub fn told_by(program: &Program) -> String {
    program.told().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Waits until a running command has said something.
pub fn wait_until_told(program: &Program, what: &str) {
    let begun = now();
    while !told_by(program).contains(what) {
        assert!(now() < begun + RUN, "{}", program.told());
        pause(SECOND / 10);
    }
}

/// What a command said for people.
pub fn told(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            match at <= three.len() {
                true => text.push(char::from(LETTERS[(number >> (18 - 6 * at) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}

#[test]
fn base64_is_that_of_everyone() {
    for (plain, encoded) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("{\"a\":1}", "eyJhIjoxfQ==")] {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}
