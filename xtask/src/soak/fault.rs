//! What goes wrong, by a seed.

use super::publisher::Publisher;
use super::scene::{PARTITIONS, Scene, TOPIC};
use crate::random::mix;
use dataflow::Result;
use std::collections::BTreeMap;
use tests::Chance;
use tests::machine::{SECOND, now, pause};

/// What a job says once it waits for its cluster, and every ten seconds then.
const WAITS: [&str; 2] = ["the job waits for it", "the cluster of the topics is away for"];
/// How often it is told how the job is while the broker is away.
const TELL_EVERY: i64 = 30 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Cut,
    Stall,
    UnloadPartition,
    UnloadNamespace,
    KillBroker,
    KillJob,
    Away,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::Cut => "all connections cut",
            Fault::Stall => "all connections stalled for seconds",
            Fault::UnloadPartition => "a partition unloaded",
            Fault::UnloadNamespace => "the namespace unloaded",
            Fault::KillBroker => "the broker killed",
            Fault::KillJob => "the job killed",
            Fault::Away => "the broker away for minutes",
        }
    }
}

/// Connections break more often than brokers and jobs do.
const FAULTS: [Fault; 9] = [
    Fault::Cut,
    Fault::Cut,
    Fault::Cut,
    Fault::Stall,
    Fault::Stall,
    Fault::UnloadPartition,
    Fault::UnloadNamespace,
    Fault::KillBroker,
    Fault::KillJob,
];

/// What has gone wrong so far.
pub struct Faults {
    chance: Chance,
    counts: BTreeMap<Fault, usize>,
    /// Whether the job said that it waits, where the broker was away.
    was_told: Option<bool>,
}

impl Faults {
    pub fn new(seed: u64) -> Faults {
        Faults { chance: Chance::new(mix(seed)), counts: BTreeMap::new(), was_told: None }
    }

    pub fn count(&self) -> usize {
        self.counts.values().sum()
    }

    /// How often each came.
    pub fn told(&self) -> String {
        let each = self.counts.iter().map(|(fault, count)| format!("{} {count} times", fault.name()));
        let waited = match self.was_told {
            None => "",
            Some(true) => "; the job said that it waited",
            Some(false) => "; THE JOB DID NOT SAY THAT IT WAITED",
        };
        format!("{}{waited}", each.collect::<Vec<_>>().join(", "))
    }

    /// Whether the job said what it waited for.
    pub fn was_told(&self) -> bool {
        self.was_told != Some(false)
    }

    /// Has one thing go wrong.
    pub fn strike(&mut self, scene: &mut Scene) -> Result<()> {
        let fault = self.chance.of(&FAULTS);
        *self.counts.entry(fault).or_default() += 1;
        match fault {
            Fault::Cut => scene.proxy.cut(),
            Fault::Stall => {
                scene.proxy.stall(true);
                pause(self.chance.between(1, 8) * SECOND);
                scene.proxy.stall(false);
            }
            Fault::UnloadPartition => {
                let partition = self.chance.below(u64::from(PARTITIONS));
                scene.admin("PUT", &format!("persistent/public/default/{TOPIC}-partition-{partition}/unload"), "")?;
            }
            Fault::UnloadNamespace => scene.admin("PUT", "namespaces/public/default/unload", "")?,
            Fault::KillBroker => scene.broker.restart()?,
            Fault::KillJob => scene.kill_job(),
            Fault::Away => {}
        }
        Ok(())
    }

    /// Has the broker be away for so long.
    pub fn away(&mut self, scene: &mut Scene, lasts: i64, publisher: &Publisher, begun: i64) -> Result<()> {
        *self.counts.entry(Fault::Away).or_default() += 1;
        let said = scene.told().len();
        scene.broker.kill();
        println!("the broker is away for {} s", lasts / SECOND);
        let (back, mut next_line) = (now() + lasts, now() + TELL_EVERY);
        while now() < back {
            if now() >= next_line {
                next_line += TELL_EVERY;
                scene.tell((now() - begun) / SECOND, publisher.published(), self.count());
            }
            scene.look()?;
            pause(SECOND / 5);
        }
        let told = scene.told();
        let since = told.get(said..).unwrap_or_default();
        self.was_told = Some(WAITS.iter().any(|what| since.contains(what)));
        scene.broker.restart()?;
        println!("the broker is back");
        Ok(())
    }
}
