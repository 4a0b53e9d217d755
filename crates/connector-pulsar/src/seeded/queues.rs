//! A queue gives every message until it is acknowledged, and none is acknowledged that was not to be, whatever happens to
//! connections and runs.

use super::broker::{ScriptedBroker, Troubles};
use super::harness::{Chance, Harness, settings};
use super::readers::batch_of;
use super::shared_subscription::messages_of;
use crate::position::MessageId;
use crate::queue::{QueueMachine, QueueOptions};
use crate::topic::TopicName;
use dataflow::QueueSharing;
use std::collections::BTreeSet;

fn machine() -> QueueMachine {
    let options = QueueOptions {
        topic: TopicName::parse("topic").unwrap(),
        subscription: "queue".into(),
        sharing: QueueSharing::Any,
        name: "consumer".into(),
        budget_bytes: 3000,
    };
    QueueMachine::new(settings(), options, 1)
}

/// A job's side: what was given out in this run, and what checkpoints have.
#[derive(Default)]
struct Job {
    given: Vec<MessageId>,
    of_run: BTreeSet<MessageId>,
    ever: BTreeSet<MessageId>,
    durable: BTreeSet<MessageId>,
}

impl Job {
    fn give(&mut self, id: MessageId, seed: u64) {
        assert!(self.of_run.insert(id), "seed {seed}: {id} was given twice in one run");
        self.ever.insert(id);
        self.given.push(id);
    }

    /// A checkpoint has some of what was given out first.
    fn checkpoint(&mut self, chance: &mut Chance, queue: &mut QueueMachine) {
        let upto = chance.below(self.given.len() as u64 + 1) as usize;
        let ids: Vec<MessageId> = self.given.drain(..upto).collect();
        self.durable.extend(&ids);
        queue.acknowledge(ids);
    }
}

fn check(broker: &ScriptedBroker, job: &Job, seed: u64) {
    for entry in &broker.log {
        for index in 0..messages_of(entry) {
            let id = MessageId { entry: entry.id, index };
            let is_acknowledged = broker.shared.is_acknowledged(entry.id, index);
            assert!(
                !is_acknowledged || job.durable.contains(&id),
                "seed {seed}: {id} is acknowledged before it may be"
            );
        }
    }
}

/// Consumes a queue until all of it is acknowledged; gives how often a message came again in another run, and how many
/// connections were lost.
fn consume(seed: u64, losses: u64) -> (usize, u64) {
    let mut chance = Chance(seed);
    let mut broker = ScriptedBroker::new(1 + chance.below(20), false);
    for number in 0..40 + chance.below(40) as usize {
        batch_of(&mut broker, "producer", number, &mut chance);
    }
    broker.troubles = Troubles { close: 20, ..Troubles::NONE };
    broker.shared.keeps_parts = seed.is_multiple_of(2);
    let (mut harness, mut queue, mut job, mut runs) = (Harness::new(losses), machine(), Job::default(), 0);
    let mut again = 0;
    for step in 0..200_000 {
        harness.step(&mut queue, &mut broker, &mut chance).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        if step % 3 != 1
            && let Some(message) = queue.take()
        {
            again += usize::from(job.ever.contains(&message.id));
            job.give(message.id, seed);
        }
        if chance.happens(20) {
            job.checkpoint(&mut chance, &mut queue);
        }
        if chance.happens(3) && runs < 20 {
            // The run is killed: what no checkpoint has comes again.
            (queue, runs) = (machine(), runs + 1);
            job.given.clear();
            job.of_run.clear();
            harness.hang_up();
        }
        check(&broker, &job, seed);
        if broker.shared.backlog(&broker.log) == 0 && queue.is_settled() {
            return (again, harness.lost);
        }
    }
    panic!("seed {seed}: {} entries are left", broker.shared.backlog(&broker.log));
}

#[test]
fn every_message_comes_until_it_is_acknowledged() {
    let (mut again, mut lost) = (0, 0);
    for seed in 0..100 {
        let (of_seed, losses) = consume(seed, seed % 20);
        (again, lost) = (again + of_seed, lost + losses);
    }
    assert!(again > 100 && lost > 300, "{again} messages came again, and {lost} connections were lost");
}

#[test]
fn a_queue_that_is_used_up_says_so() {
    let mut chance = Chance(1);
    let mut broker = ScriptedBroker::new(5, false);
    batch_of(&mut broker, "producer", 0, &mut chance);
    let (mut harness, mut queue) = (Harness::default(), machine());
    for _ in 0..1000 {
        harness.step(&mut queue, &mut broker, &mut chance).unwrap();
        queue.ask_stats(harness.now());
        while queue.take().is_some() {}
    }
    assert!(queue.stats().is_used_up, "{:?}", queue.stats());
    assert_eq!(queue.stats().backlog, Some(1), "nothing was acknowledged");
}
