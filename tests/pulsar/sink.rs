//! Decisions on a topic, through everything that can happen to a job, its connections and its broker.
//!
//! `PULSAR_KILLS=20 PULSAR_CONNECTIONS=50 PULSAR_BROKER_KILLS=10 PULSAR_SEED=1` asks for more of it than CI does.

use crate::decided::{Cluster, Dump, OFTEN, Plays, SQL, expected, local_decisions, write};
use crate::project::{Folder, RUN};
use std::sync::atomic::Ordering::SeqCst;
use tests::machine::{SECOND, now, pause};
use tests::{Broker, Chance, Program, PulsarProxy};

/// The plays that are put for each thing that goes wrong.
const PLAYS: usize = 1000;
const AT_ONCE: usize = 60;

/// A number that the environment may say.
pub fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Connection,
    Broker,
    Partitions,
    /// It is stopped, and another job goes on from its savepoint.
    Successor,
}

/// How often each thing happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    kills: u64,
    connections: u64,
    brokers: u64,
    partitions: u64,
    successors: u64,
    /// Sends that were cut, each the first of its producer.
    sends: u64,
}

impl Counts {
    fn asked() -> Counts {
        let kills = number("PULSAR_KILLS", 2);
        let (connections, brokers) = (number("PULSAR_CONNECTIONS", 5), number("PULSAR_BROKER_KILLS", 1));
        Counts { kills, connections, brokers, partitions: 2, successors: kills.div_ceil(5), sends: kills.div_ceil(4) }
    }

    /// What happens, in an order that the chance gives.
    fn shuffled(&self, chance: &mut Chance) -> Vec<Fault> {
        let kinds = [
            // One of each comes at the end.
            (Fault::Kill, self.kills - 1),
            (Fault::Connection, self.connections - 1),
            (Fault::Broker, self.brokers),
            (Fault::Partitions, self.partitions),
            (Fault::Successor, self.successors),
        ];
        let mut faults: Vec<Fault> =
            kinds.into_iter().flat_map(|(fault, count)| std::iter::repeat_n(fault, count as usize)).collect();
        for at in (1..faults.len()).rev() {
            faults.swap(at, chance.below(at as u64 + 1) as usize);
        }
        faults
    }
}

/// A job behind the proxy, which is killed and started again.
struct Scene<'a> {
    broker: &'a Broker,
    cluster: &'a Cluster,
    proxy: &'a PulsarProxy,
    folder: &'a Folder,
    plays: &'a Plays,
    chance: Chance,
    outputs: u32,
    /// What starts the job.
    run: &'static [&'static str],
    job: Program,
    done: Counts,
}

impl Scene<'_> {
    fn start(folder: &Folder, arguments: &[&str], chance: &mut Chance) -> Program {
        let workers = (1 + chance.below(3)).to_string();
        let mut job = folder.start(&[arguments, &["--workers", &workers]].concat(), "proxied");
        job.ready();
        job
    }

    /// Lets some time go by in which rows are read and written.
    fn rest(&mut self) {
        pause(self.chance.between(SECOND / 50, SECOND / 2));
    }

    fn happen(&mut self, fault: Fault) {
        if matches!(fault, Fault::Broker | Fault::Successor) {
            self.has_begun();
        }
        self.plays.ask(PLAYS);
        self.rest();
        match fault {
            Fault::Kill => {
                self.job.signal("KILL");
                let ended = self.job.ended(RUN).expect("a killed job ends");
                assert_eq!(ended.code, None, "it had ended by itself: {}", ended.told);
                // The first rows of the next producer do not come through.
                self.proxy.cut_next_first_entry(self.chance.below(3000));
                self.job = Scene::start(self.folder, self.run, &mut self.chance);
                self.done.kills += 1;
            }
            Fault::Connection => {
                let begun = now();
                while !self.proxy.break_one(&mut self.chance) {
                    assert!(now() < begun + RUN, "no connection is there: {}", self.job.told());
                    pause(SECOND / 20);
                }
                self.done.connections += 1;
            }
            Fault::Broker => {
                self.broker.kill();
                self.broker.start_again();
                self.done.brokers += 1;
            }
            Fault::Partitions => {
                // One more of the topic that is read, or of the one that is written.
                if self.done.partitions % 2 == 0 {
                    let count = self.plays.partitions.load(SeqCst) + 1;
                    self.cluster.grow("plays", count);
                    self.plays.partitions.store(count, SeqCst);
                } else {
                    self.outputs += 1;
                    self.cluster.grow("actions", self.outputs);
                }
                self.done.partitions += 1;
            }
            Fault::Successor => {
                let savepoint = self.folder.path().join(format!("savepoint-{}", self.done.successors));
                self.folder.to_end(&["stop", "--to", savepoint.to_str().unwrap()], "proxied");
                self.has_ended();
                let resume = ["resume", "--from", savepoint.to_str().unwrap()];
                self.job = Scene::start(self.folder, &resume, &mut self.chance);
                self.done.successors += 1;
            }
        }
        let ended = self.job.ended(0);
        assert!(ended.is_none(), "it has ended by itself after {fault:?}: {ended:?}");
    }

    /// Waits until the job has opened its topics and writes. One whose broker goes away before ends after 20 s, and one that
    /// waits for its broker and is to end does so without a savepoint.
    fn has_begun(&mut self) {
        self.wait_for(expected(self.plays.there.load(SeqCst)).len());
    }

    /// Waits for the end of the job, which was asked for.
    fn has_ended(&mut self) {
        let ended = self.job.ended(RUN).expect("a job that is to end ends");
        assert_eq!(ended.code, Some(0), "{}", ended.told);
    }

    /// Ends the job once all is written, and lets one with other pipelines take over.
    fn change(&mut self, plays: usize) {
        self.wait_for(expected(plays).len());
        self.job.interrupt();
        self.has_ended();
        // The same decisions by another rule, and a topic that is new.
        let sql = format!("{}INSERT INTO TOPIC copies SELECT id, score FROM plays;", SQL.replace("> 30", ">= 31"));
        write(self.folder, &sql);
        // One that is killed at once may not have taken over yet.
        self.run = &["run", "--apply"];
        self.job = Scene::start(self.folder, self.run, &mut self.chance);
    }

    /// Waits until so many decisions are there.
    fn wait_for(&mut self, decisions: usize) {
        let begun = now();
        loop {
            let tail = ["tail", "actions", "--from-start", "--until-caught-up"];
            let count = self.folder.printed(&tail, "pulsar").lines().count();
            if count >= decisions {
                return;
            }
            let is_waiting = now() < begun + RUN && self.job.ended(0).is_none();
            assert!(is_waiting, "{count} of {decisions} decisions: {}", self.job.told());
            pause(SECOND / 5);
        }
    }
}

#[test]
fn each_decision_is_there_once_whatever_happens_to_the_job_its_connections_and_its_broker() {
    let Some(broker) = Broker::start() else { return };
    let (begun, seed, asked) = (now(), number("PULSAR_SEED", 5), Counts::asked());
    let proxy = PulsarProxy::start(broker.service_url());
    let cluster = Cluster::of(&broker);
    let folder = cluster.folder(OFTEN, &proxy.service_url());
    cluster.make("plays", 2);
    cluster.make("actions", 3);
    let (plays, mut chance) = (Plays::new(&cluster, 2, 20), Chance::new(seed));
    let faults = asked.shuffled(&mut chance);
    let (before, count) = (PLAYS * faults.len(), PLAYS * (faults.len() + 2));
    let job = Scene::start(&folder, &["run"], &mut chance);
    let mut scene = Scene {
        broker: &broker,
        cluster: &cluster,
        proxy: &proxy,
        folder: &folder,
        plays: &plays,
        chance,
        outputs: 3,
        run: &["run"],
        job,
        done: Counts::default(),
    };
    plays.beside(before, AT_ONCE, || faults.into_iter().for_each(|fault| scene.happen(fault)));
    scene.change(before);
    plays.beside(count, AT_ONCE, || {
        scene.happen(Fault::Connection);
        scene.happen(Fault::Kill);
    });
    scene.wait_for(expected(count).len());
    scene.job.interrupt();
    scene.has_ended();
    let dump = Dump::of(&cluster, &folder);
    broker.kill();
    dump.assert_once(count);
    assert_eq!(dump.decisions(), local_decisions(&folder, count), "decisions are those of local topics");
    let ((sizes, partitions), mut done) = (dump.batches(), scene.done);
    done.sends = u64::from(proxy.first_entries_cut());
    println!(
        "seed {seed}: {count} plays, {} decisions, {done:?}, batches of {} sizes from {:?} to {:?} on {partitions} \
         partitions, {} s",
        expected(count).len(),
        sizes.len(),
        sizes.keys().next(),
        sizes.keys().next_back(),
        (now() - begun) / SECOND
    );
    assert!(done.sends >= asked.sends, "{done:?}");
    assert_eq!(Counts { sends: asked.sends, ..done }, asked);
    assert!(sizes.len() > 5 && partitions == 4, "what was written is cut alike, or on few partitions: {sizes:?}");
}
