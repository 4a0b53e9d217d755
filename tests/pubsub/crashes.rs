//! Mirrors that are killed: between messages, between the write of a message and its sync, again and again.

use crate::folder::{Folder, RUN, field};
use crate::server::{Outgoing, Server, told, told_by};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::machine::{SECOND, now, pause};
use tests::{Chance, Program};

/// A message a second of event time.
const SQL: &str = "
CREATE STREAM m (id BIGINT, key BIGINT, number BIGINT, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '1' HOUR QUIET NEVER,
  DEDUP ON (id) WITHIN INTERVAL '100' DAY
) LIVE m;
";

fn number_of(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

fn message(id: usize, keys: usize) -> Outgoing {
    let (second, minute, hour, day) = (id % 60, id / 60 % 60, id / 3600 % 24, 1 + id / 86_400);
    let at = format!("2026-01-{day:02} {hour:02}:{minute:02}:{second:02}");
    let key = id % keys;
    (json!({ "id": id, "key": key, "number": id / keys, "at": at }).to_string(), key.to_string())
}

/// RIVERRUN_PUBSUB_MESSAGES=100000 and RIVERRUN_PUBSUB_KILLS=20 are the whole size, which takes minutes.
#[test]
fn each_message_is_there_in_the_order_of_its_key_over_kills_refusals_and_deadlines() {
    let Some(server) = Server::start() else { return };
    let (keys, kills) = (50, number_of("RIVERRUN_PUBSUB_KILLS", 4));
    let messages = number_of("RIVERRUN_PUBSUB_MESSAGES", 2_000);
    server.make("p", "m", json!({ "enableMessageOrdering": true, "ackDeadlineSeconds": 10 }));
    let folder = Folder::new(SQL, r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#);
    std::thread::scope(|scope| {
        scope.spawn(|| feed(&server, &folder, messages, keys));
        kill_and_check(&server, &folder, (messages, keys, kills));
    });
}

/// Publishes the messages as the mirror goes on: that server becomes slow where many wait.
fn feed(server: &Server, folder: &Folder, messages: usize, keys: usize) {
    let until = now() + 5 * RUN + messages as i64 * SECOND / 50;
    for first in (0..messages).step_by(keys) {
        // The check has failed where the mirror does not go on.
        while now() < until && first > folder.messages() + 1_500 {
            pause(SECOND / 10);
        }
        let some: Vec<Outgoing> = (first..messages.min(first + keys)).map(|id| message(id, keys)).collect();
        server.publish("p", "m", &some);
    }
}

fn kill_and_check(server: &Server, folder: &Folder, (messages, keys, kills): (usize, usize, usize)) {
    let mut chance = Chance::new(13);
    // A key goes on 10 times a second there.
    let within = RUN + (messages / keys) as i64 * SECOND / 2;
    let mirror = ["pubsub", "mirror", "m", "--partitions", "3"];
    for kill in 0..kills {
        // Somebody else takes some messages: half are refused at once, the others come again after their deadline.
        let others: Vec<String> = server.pull("p", "m", 10).into_iter().map(|(id, _)| id).collect();
        server.refuse("p", "m", &others[..others.len() / 2]);
        // Kills are spread over the first half of the messages.
        let goal = messages * (kill + 1) / (2 * kills);
        let mut program = server.begin(folder.path(), &mirror);
        let begun = now();
        while folder.messages() < goal {
            assert!(
                now() < begun + within,
                "kill {kill}: {} of {goal} messages: {}",
                folder.messages(),
                program.told()
            );
            pause(SECOND / 50 + messages as i64 * 5);
        }
        pause(chance.below(SECOND as u64) as i64);
        program.signal("KILL");
        program.ended(RUN).expect("a killed mirror ends");
    }
    let mut last = server.begin(folder.path(), &mirror);
    let first_copies = || {
        let mut copies: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for message in folder.log("m").iter().flatten() {
            let of_key = copies.entry(field(message, "key").as_i64().unwrap()).or_default();
            let number = field(message, "number").as_i64().unwrap();
            if !of_key.contains(&number) {
                of_key.push(number);
            }
        }
        copies
    };
    let begun = now();
    while first_copies().values().map(Vec::len).sum::<usize>() < messages {
        assert!(now() < begun + within, "{} messages: {}", folder.messages(), last.told());
        pause(SECOND / 2 + messages as i64 * 20);
    }
    last.interrupt();
    let ended = last.ended(RUN).expect("a mirror that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    let firsts = first_copies();
    let missing = messages - firsts.values().map(Vec::len).sum::<usize>();
    let disordered: usize =
        firsts.values().map(|numbers| numbers.windows(2).filter(|two| two[0] > two[1]).count()).sum();
    let again = folder.messages() - (messages - missing);
    eprintln!("{messages} messages, {kills} kills: {missing} missing, {again} came again, {disordered} out of order");
    assert!(firsts.values().all(|numbers| numbers.is_sorted()), "{firsts:?}");
    let sql = "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM m";
    let printed = server.printed(folder.path(), &["query", sql, "--csv"]);
    assert_eq!(printed.lines().nth(1), Some(format!("{messages},{messages},0,{}", messages - 1).as_str()));
}

/// How long a sync is held up.
const SYNC: i64 = 40 * SECOND;

/// The sync of what was written is held up, the process is killed meanwhile, and what was not synced is lost, as it is
/// when the power fails. The client sends acknowledgements every tenth of a second, so one that does not wait for the sync
/// has arrived by then.
#[test]
fn nothing_is_acknowledged_that_is_not_synced() {
    need_strace();
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({ "ackDeadlineSeconds": 10 }));
    let folder = Folder::new(SQL, r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#);
    let all: Vec<Outgoing> = (0..300).map(|id| (message(id, 1).0, String::new())).collect();
    server.publish("p", "m", &all[..100]);
    server.printed(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "2s"]);
    assert_eq!(folder.messages(), 100);
    let segment = folder.partition().join("000000000000.log").canonicalize().unwrap();
    let written = || fs::metadata(&segment).unwrap().len();
    let synced = written();

    server.publish("p", "m", &all[100..]);
    let mut mirror =
        Program::spawn(with_held_syncs(&server.command(folder.path(), &["pubsub", "mirror", "m"]), &segment));
    let begun = now();
    while written() == synced {
        assert!(now() < begun + RUN, "nothing is written: {}", mirror.told());
        pause(SECOND / 50);
    }
    let begun = now();
    pause(3 * SECOND);
    assert!(mirror.ended(0).is_none(), "it has ended by itself: {}", mirror.told());
    mirror.signal("KILL");
    assert!(now() < begun + SYNC / 2, "the kill came so late that the sync may have come before it");
    // strace takes its time to let go of it.
    mirror.ended(RUN).expect("a killed mirror ends");
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(synced).unwrap();

    // Leases of the killed process are over after 20 seconds.
    server.printed(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "25s"]);
    let there: BTreeSet<i64> =
        folder.log("m").iter().flatten().map(|message| field(message, "id").as_i64().unwrap()).collect();
    let lost: Vec<i64> = (0..300).filter(|id| !there.contains(id)).collect();
    assert!(
        lost.is_empty(),
        "{} messages were acknowledged before they were synced, and are lost: {lost:?}",
        lost.len()
    );
}

/// A command under strace, whose child it stays, with syncs of a file that come late.
fn with_held_syncs(command: &Command, file: &Path) -> Command {
    let mut traced = Command::new("strace");
    traced.args(["-D", "-f", "-qq", "-o", "/dev/null", "-P"]).arg(file);
    traced.args(["-e", "trace=fdatasync,fsync", "-e", &format!("inject=fdatasync,fsync:delay_enter={SYNC}")]);
    traced.arg(command.get_program()).args(command.get_args());
    traced.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    traced.current_dir(command.get_current_dir().unwrap());
    traced
}

/// Installs strace where it is missing; without it the test fails.
fn need_strace() {
    let is_there = || Command::new("strace").arg("-V").output().is_ok_and(|ran| ran.status.success());
    if is_there() {
        return;
    }
    let installed = Command::new("apt-get").args(["install", "-y", "strace"]).output();
    let told = installed.map_or_else(|error| error.to_string(), |ran| told(&ran));
    assert!(is_there(), "strace is missing and cannot be installed by `apt-get install -y strace`: {told}");
}

#[test]
fn one_process_at_a_time_runs_a_mirror() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#);
    server.publish("p", "m", &[message(0, 1)]);
    let first = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    folder.wait_for(1, RUN);
    let refused = server.refused(folder.path(), &["pubsub", "mirror", "m"]);
    let holder = format!("producer \"pubsub:projects/p/subscriptions/m\" is held by process {}", first.id());
    assert!(refused.contains(&holder), "{refused}");
    // Beside a command the second one waits, and goes on when the first is killed.
    let second = server.begin(folder.path(), &["tail", "m"]);
    let begun = now();
    while !told_by(&second).contains("is not copied into topic m by this process") {
        assert!(now() < begun + RUN, "{}", second.told());
        pause(SECOND / 10);
    }
    drop(first);
    server.publish("p", "m", &[message(1, 1)]);
    folder.wait_for(2, RUN);
}
