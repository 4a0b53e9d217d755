//! A broker that does not know what a job has written: it has forgotten, or removes no duplicates.
//!
//! A broker forgets at once when it is told to remove no duplicates any more, and then to remove them again.
//! `PULSAR_FORGET_SECONDS=100` lets it do so by itself, after a minute of which the job's producers are away.

use crate::decided::{Cluster, Dump, Plays, expected};
use crate::losses;
use crate::project::{Folder, RUN};
use crate::sink::number;
use connector_pulsar::standalone::Standalone;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;
use tests::machine::{SECOND, now, pause};
use tests::{Broker, Program};

const PARTITIONS: u32 = 2;

/// So long that there is none but those at the beginning and the end of a run.
const RARELY: &str = "commit_every = \"1h\"\ncheckpoint_every = \"1h\"\n";

/// For how long a broker is waited for to forget, if it is to do so by itself.
fn forget_seconds() -> u64 {
    number("PULSAR_FORGET_SECONDS", 0)
}

/// A broker that forgets after a minute, where it is to do so by itself.
fn broker() -> Option<&'static Standalone> {
    static BROKER: OnceLock<Option<(Standalone, tempfile::TempDir)>> = OnceLock::new();
    if forget_seconds() == 0 {
        return losses::broker();
    }
    let start = || {
        let data = Broker::is_possible().then(|| tempfile::tempdir().unwrap())?;
        let cache = Path::new(&std::env::var("HOME").unwrap()).join(".cache/riverrun");
        let settings = "brokerDeduplicationProducerInactivityTimeoutMinutes=1\n";
        Some((Standalone::start(&cache, &data.path().join("broker"), settings).unwrap(), data))
    };
    BROKER.get_or_init(start).as_ref().map(|(broker, _)| broker)
}

struct Scene {
    cluster: Cluster,
    folder: Folder,
    plays: Plays,
}

impl Scene {
    fn start(name: &str) -> Option<Scene> {
        let cluster = Cluster::with_namespace(broker()?, name);
        let folder = cluster.folder(RARELY, "pulsar://127.0.0.1:1");
        cluster.make("plays", PARTITIONS);
        cluster.make("actions", PARTITIONS);
        let plays = Plays::new(&cluster, PARTITIONS, 20);
        let scene = Scene { cluster, folder, plays };
        scene.set_deduplication(true);
        Some(scene)
    }

    fn run(&self, arguments: &[&str]) -> Program {
        let mut job = self.folder.start(&[&["run"], arguments].concat(), "pulsar");
        job.ready();
        job
    }

    /// Whether duplicates are removed of what the job writes, from now on.
    fn set_deduplication(&self, is_on: bool) {
        self.cluster.of_topic("POST", "actions", "/deduplicationEnabled", if is_on { "true" } else { "false" });
        let (begun, wanted) = (now(), if is_on { "Enabled" } else { "Disabled" });
        for partition in 0..PARTITIONS {
            let stats = || self.cluster.of_topic("GET", &format!("actions-partition-{partition}"), "/stats", "");
            let status = || serde_json::from_str::<Value>(&stats()).unwrap()["deduplicationStatus"].take();
            while status() != wanted {
                assert!(now() < begun + RUN, "partition {partition}: {}", stats());
                pause(SECOND / 20);
            }
        }
    }

    /// Lets the broker forget whom it does not see.
    fn forget(&self) {
        match forget_seconds() {
            0 => {
                self.set_deduplication(false);
                self.set_deduplication(true);
            }
            seconds => pause(seconds as i64 * SECOND),
        }
    }

    /// Sends the job's producers away, and they come back.
    fn unload(&self) {
        self.cluster.of_topic("PUT", "actions", "/unload", "");
    }

    /// Puts plays up to a number, and waits until what they lead to is there.
    fn decide(&self, until: usize, job: &mut Program) {
        self.plays.put_until(until);
        self.wait_for(expected(until).len(), job);
    }

    fn wait_for(&self, decisions: usize, job: &mut Program) {
        let begun = now();
        loop {
            let tail = ["tail", "actions", "--from-start", "--until-caught-up"];
            let count = self.folder.printed(&tail, "pulsar").lines().count();
            if count >= decisions {
                return;
            }
            let is_waiting = now() < begun + RUN && job.ended(0).is_none();
            assert!(is_waiting, "{count} of {decisions} decisions: {}", job.told());
            pause(SECOND / 20);
        }
    }

    /// What a broker that does not know the job's rows is told of.
    fn refused(&self, told: &str) {
        for part in
            ["producer \"decided.actions-", "is stored, and the broker knows of no message", "--accept-duplicates"]
        {
            assert!(told.contains(part), "{told}");
        }
    }
}

fn kill(job: &mut Program) {
    job.signal("KILL");
    job.ended(RUN).expect("a killed job ends");
}

/// Ends a job as Ctrl-C does; gives what it told.
fn end(job: &mut Program) -> String {
    job.interrupt();
    let ended = job.ended(RUN).expect("a job that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    ended.told
}

#[test]
fn a_killed_job_whose_rows_the_broker_has_forgotten_ends_by_name_until_duplicates_are_accepted() {
    let Some(scene) = Scene::start("forgotten") else { return };
    let mut job = scene.run(&[]);
    scene.decide(100, &mut job);
    end(&mut job);
    // These are after the checkpoint, so that they come again.
    let mut job = scene.run(&[]);
    scene.decide(200, &mut job);
    kill(&mut job);
    scene.forget();
    scene.refused(&scene.folder.refused(&["run"], "pulsar"));
    scene.plays.put_until(250);
    scene.refused(&scene.folder.refused(&["run", "--until-caught-up"], "pulsar"));
    Dump::of(&scene.cluster, &scene.folder).assert_once(200);

    let again = expected(200).len() - expected(100).len();
    let mut job = scene.run(&["--accept-duplicates"]);
    scene.wait_for(expected(250).len() + again, &mut job);
    // From here on the broker knows.
    kill(&mut job);
    let mut job = scene.run(&[]);
    scene.decide(300, &mut job);
    let told = end(&mut job);
    assert!(!told.contains("at least once"), "{told}");
    let doubled = Dump::of(&scene.cluster, &scene.folder).doubled();
    let expected: BTreeSet<u64> = expected(200).difference(&expected(100)).copied().collect();
    assert_eq!(doubled.keys().copied().collect::<BTreeSet<_>>(), expected);
    assert!(doubled.values().all(|rows| rows.len() == 1), "a row that comes again has its property: {doubled:?}");
}

#[test]
fn a_job_of_whose_rows_none_can_come_again_goes_on_at_a_broker_that_has_forgotten_them() {
    let Some(scene) = Scene::start("rested") else { return };
    let mut job = scene.run(&[]);
    scene.decide(100, &mut job);
    let savepoint = scene.folder.path().join("savepoint");
    scene.folder.to_end(&["stop", "--to", savepoint.to_str().unwrap()], "pulsar");
    job.ended(RUN).expect("a job that is stopped ends");
    scene.forget();
    // One that is killed before it has written anything has not to be told twice.
    let mut job = scene.folder.start(&["resume", "--from", savepoint.to_str().unwrap()], "pulsar");
    job.ready();
    pause(SECOND);
    kill(&mut job);
    let mut job = scene.run(&[]);
    scene.decide(200, &mut job);
    // It runs while the broker forgets, and is sent away.
    scene.forget();
    scene.unload();
    scene.decide(300, &mut job);
    kill(&mut job);
    let mut job = scene.run(&[]);
    scene.decide(350, &mut job);
    let told = end(&mut job);
    assert!(!told.contains("at least once"), "{told}");
    Dump::of(&scene.cluster, &scene.folder).assert_once(350);
}

#[test]
fn deduplication_that_is_switched_off_ends_a_job_that_had_it_and_is_told_of_by_one_that_had_not() {
    let Some(scene) = Scene::start("switched") else { return };
    let mut job = scene.run(&[]);
    scene.decide(100, &mut job);
    scene.set_deduplication(false);
    scene.unload();
    scene.plays.put_until(200);
    let ended = job.ended(RUN).unwrap_or_else(|| panic!("it goes on: {}", job.told()));
    assert_eq!(ended.code, Some(1), "{}", ended.told);
    scene.refused(&ended.told);
    // From the start it is no error.
    let mut job = scene.run(&["--fresh"]);
    scene.wait_for(expected(200).len(), &mut job);
    let begun = now();
    while !job.told().contains("removes no duplicates there, so delivery is at least once") {
        assert!(now() < begun + RUN, "{}", job.told());
        pause(SECOND / 20);
    }
    kill(&mut job);
    let mut job = scene.run(&[]);
    scene.decide(250, &mut job);
    let told = end(&mut job);
    assert!(told.contains("at least once"), "{told}");
}
