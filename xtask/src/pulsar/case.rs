//! One measurement: who decides by which rule at which rate, and how long after a message its action is seen.

use super::java::{Java, Traffic};
use super::place::{self, Broker, PARTITIONS};
use super::release::{self, Logs};
use crate::failure;
use crate::live::rank;
use dataflow::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::Program;
use tests::machine::SECOND;

/// Enough for the JVM to compile what runs often.
pub const WARM_UP_RATE: u32 = 10_000;
pub const WARM_UP_MS: u32 = 4_000;
/// The workers of riverrun.
pub const WORKERS: &str = "2";
/// How long whoever decides may take to end.
const END: i64 = 20 * SECOND;

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Over one partition, where nobody waits for other partitions.
    OnePartition,
    Stateless,
    Window,
    AsOf,
}

impl Rule {
    pub const ALL: [Rule; 4] = [Rule::OnePartition, Rule::Stateless, Rule::Window, Rule::AsOf];

    /// As the loop knows it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::OnePartition | Rule::Stateless => "stateless",
            Rule::Window => "window",
            Rule::AsOf => "as-of",
        }
    }

    /// The partitions of the topic of messages.
    pub fn partitions(self) -> u32 {
        match self {
            Rule::OnePartition => 1,
            Rule::Stateless | Rule::Window | Rule::AsOf => PARTITIONS,
        }
    }

    /// Whether the wait for the rule of time is part of what is measured.
    fn counts_the_wait(self) -> bool {
        matches!(self, Rule::OnePartition | Rule::Stateless)
    }

    fn sql(self) -> String {
        let seen = match self {
            Rule::OnePartition | Rule::Stateless => "SELECT id, user_id, text_len, sent_at FROM messages;",
            Rule::Window => {
                "SELECT id, user_id, text_len, sent_at, count(*) OVER w AS n FROM messages\n\
                 WINDOW w AS (PARTITION BY user_id ORDER BY sent_at RANGE INTERVAL '1' MINUTE PRECEDING);"
            }
            Rule::AsOf => {
                "SELECT m.id, m.user_id, m.text_len, m.sent_at, a.level FROM messages m\n\
                 ASOF LEFT JOIN accounts a ON a.user_id = m.user_id AND a.changed_at <= m.sent_at;"
            }
        };
        include_str!("../../bench/pulsar/decide.sql").replace("{seen}", &format!("CREATE VIEW seen AS {seen}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub rule: Rule,
    /// Messages a second.
    pub rate: u32,
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    Riverrun,
    /// The official client's loop, its actions in batches of so many milliseconds, or 0 for none.
    Java {
        batch_ms: u32,
    },
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Microseconds until each action was seen, greater than any where it never was. They count from when the message
    /// was sent, or, where a rule of time holds it back, from when that lets it go.
    pub beyond: Vec<i64>,
    pub missing: usize,
    pub twice: usize,
    /// For how long the rule of time holds a message back, as the median in milliseconds; 0 for a loop that knows none.
    pub held_ms: f64,
    /// CPU of whoever decides, from when it was there, over all messages.
    pub cpu_us_per_message: f64,
}

impl Outcome {
    /// Milliseconds of a rank of a thousand.
    pub fn ms(&self, permille: usize) -> f64 {
        match rank(&self.beyond, permille) {
            i64::MAX => f64::INFINITY,
            micros => micros as f64 / 1e3,
        }
    }
}

/// What all measurements share.
pub struct Stage {
    pub cache: PathBuf,
    pub riverrun: PathBuf,
    pub java: Java,
    // It ends before the broker that it talks to.
    pub traffic: Traffic,
    pub broker: Broker,
    pub measured_ms: u32,
}

impl Stage {
    /// Runs a case with a broker's namespace of its own.
    pub fn measure(&mut self, case: Case, contender: Contender) -> Result<Outcome> {
        let namespace = self.broker.namespace(case.rule.partitions())?;
        let project = place::project(&self.cache, &self.broker.service_url(), &namespace, &case.rule.sql())?;
        let mut program = Program::spawn(self.decider(case, contender, &namespace, project.path()));
        program.ready();
        let begun = running(&mut program)?;
        // A loop that knows no time is let go by nothing but the message.
        let is_held = contender == Contender::Riverrun;
        let (logs, file) = (if is_held { "logs" } else { "none" }, project.path().join("seen.txt"));
        let (rate, measured_ms, partitions) = (case.rate, self.measured_ms, case.rule.partitions());
        let request = format!(
            "run {namespace} {partitions} {rate} {WARM_UP_RATE} {WARM_UP_MS} {measured_ms} {logs} {}",
            file.display()
        );
        let told = self.traffic.ask(&request);
        let ended = running(&mut program)?;
        let told = told.map_err(|error| failure::program(error.chain(), program.told()))?;
        program.interrupt();
        if program.ended(END).is_none() {
            program.signal("KILL");
        }
        self.broker.forget(&namespace);
        let messages: f64 = told.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(f64::NAN);
        let outcome = read(&file, is_held.then_some(case.rule))?;
        Ok(Outcome { cpu_us_per_message: (ended - begun) as f64 / messages, ..outcome })
    }

    fn decider(&self, case: Case, contender: Contender, namespace: &str, project: &Path) -> Command {
        match contender {
            Contender::Riverrun => {
                let mut command = Command::new(&self.riverrun);
                command.args(["run", "--workers", WORKERS, "--project"]).arg(project);
                command
            }
            Contender::Java { batch_ms } => {
                let (service, batch_ms) = (self.broker.service_url(), batch_ms.to_string());
                self.java.command("Loop", &[&service, namespace, case.rule.name(), &batch_ms])
            }
        }
    }
}

/// The CPU that a program has taken, which has to run.
fn running(program: &mut Program) -> Result<i64> {
    match program.ended(0) {
        Some(ended) => Err(failure::program("who decides", format!("ended by itself: {}", ended.told))),
        None => Ok(program.taken().cpu),
    }
}

/// Reads what the program that watches has written, and takes off what the rule holds back.
fn read(file: &Path, held: Option<Rule>) -> Result<Outcome> {
    let text = std::fs::read_to_string(file).map_err(|error| failure::file("read", file, error))?;
    let (mut seen, mut messages, mut accounts) = (Vec::new(), Logs::default(), Logs::default());
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ').unwrap_or_default();
        match kind {
            "measured" => seen.push(release::numbers(rest)?),
            "messages" | "accounts" => {
                let (partition, message) = release::logged(rest)?;
                let logs = if kind == "messages" { &mut messages } else { &mut accounts };
                logs.add(partition, message);
            }
            _ => return Err(Error::internal(format!("{} has the line {line:?}", file.display()))),
        }
    }
    let other = (held == Some(Rule::AsOf)).then_some(&accounts);
    let moments = held.map(|_| release::moments(&messages, other)).transpose()?;
    let mut outcome = Outcome { beyond: Vec::new(), missing: 0, twice: 0, held_ms: 0.0, cpu_us_per_message: 0.0 };
    let mut holds = Vec::new();
    for numbers in seen {
        let [id, sent, at, times] = numbers[..] else {
            return Err(Error::internal(format!("{} has a line without four numbers", file.display())));
        };
        let goes = match &moments {
            None => sent,
            Some(moments) => *moments.get(&id).ok_or_else(|| Error::internal(format!("message {id} is in no log")))?,
        };
        holds.push(goes - sent);
        let from = if held.is_some_and(Rule::counts_the_wait) { sent } else { goes };
        outcome.missing += usize::from(times == 0);
        outcome.twice += usize::from(times > 1);
        outcome.beyond.push(if times == 0 { i64::MAX } else { at - from });
    }
    outcome.held_ms = rank(&holds, 500) as f64 / 1e3;
    match outcome.beyond.is_empty() {
        true => Err(Error::internal(format!("{} has no message that counts", file.display()))),
        false => Ok(outcome),
    }
}

#[test]
fn what_the_watcher_wrote_is_read() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("seen.txt");
    let text = "measured 1 1000 5000 1\nmeasured 2 2000 -1 0\nmeasured 3 3000 6000 2\n\
                messages 0 1000 1 1\nmessages 0 2000 2 2\nmessages 0 3000 3 3\nmessages 0 4000 4 4\n";
    std::fs::write(&file, text).expect("the folder can be written");
    let sent = read(&file, None).expect("it is whole");
    assert_eq!(sent.beyond, [4000, i64::MAX, 3000]);
    assert_eq!((sent.missing, sent.twice), (1, 1));
    assert_eq!((sent.ms(0), sent.ms(990)), (3.0, f64::INFINITY));
    let held = read(&file, Some(Rule::Window)).expect("it is whole");
    assert_eq!(held.beyond, [3000, i64::MAX, 2000]);
    // Without state the wait for the rule is part of what is measured, and is told beside it.
    let stateless = read(&file, Some(Rule::Stateless)).expect("it is whole");
    assert_eq!((stateless.beyond, stateless.held_ms), (sent.beyond, 1.0));
    std::fs::write(&file, "other 1\n").expect("the folder can be written");
    assert!(read(&file, None).is_err());
}
