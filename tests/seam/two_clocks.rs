//! The rule of time where the clocks by which messages arrive differ from ours and from each other: messages take a while
//! from their stamp until they can be seen, and a topic goes to a broker whose clock is behind or ahead.
//!
//! A model reads random logs as a reader does, with the clock of partitions that jobs have. Within the margin its rows are
//! those of the rule over the whole log, and none lies behind a watermark that was given; beyond it those that do are the
//! ones whose place a replay could not find again. Nobody is held back longer than the rule says. Faults that are put into
//! the model are noticed.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use dataflow::{BadRowPolicy, Error, EventTime, Late, ProcessingTime, Quiet, Span};
use seam::{PartitionClock, Placed, StreamSpec};
use std::collections::BTreeMap;
use std::sync::Arc;
use tests::Chance;
use tests::time_rule::{PartitionTimes, RealPartition, Stamp, due_by_clocks};

const MILLI: i64 = 1000;
const SECOND: i64 = 1_000_000;
const MARGIN: i64 = 250 * MILLI;
const DELAY: i64 = SECOND / 2;
/// How often the model looks.
const STEP: i64 = 20 * MILLI;
const TRAFFIC: i64 = 30 * SECOND;
/// Far beyond what the rule lets anything wait for, but for clocks that are an hour off.
const END: i64 = TRAFFIC + 20 * SECOND;
/// How much later than the rule says the model may see that a row may go.
const SEEN: i64 = 15 * STEP;

/// What is wrong in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Messages on their way are not allowed for.
    NoMargin,
    /// Stamps of the broker that had the topic before tell the time of the one that has it now.
    StampsOfBefore,
    /// The time of another partition's broker is taken.
    OtherBroker,
    /// It is asked when our own clock has come to what is wanted.
    AskedByOurClock,
    /// Without stamps, the broker's clock says up to when nothing is there.
    BrokerWithoutStamps,
    /// Without stamps, silence is counted from the message with the greatest time.
    SilenceFromGreatest,
}

/// Who says when messages arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamping {
    /// The broker; another one has half of the partitions from a moment on, whose clock is ahead by so much.
    Brokers { from: i64, ahead: i64 },
    /// The producers, each partition by one whose clock is ahead by so much, and the first by one more.
    Producers([i64; 3]),
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    stamp: Stamp,
    seen: i64,
}

fn changes_hands(partition: usize) -> bool {
    partition > 0
}

impl Stamping {
    fn ahead(self, partition: usize, moment: i64) -> i64 {
        match self {
            Stamping::Brokers { from, ahead } if changes_hands(partition) && moment >= from => ahead,
            Stamping::Brokers { .. } => 0,
            Stamping::Producers(ahead) => ahead[partition],
        }
    }

    /// The clock of a partition as the rule has it. A question that is asked just before a topic goes to a clock that is
    /// behind may find it there.
    fn clocks(self, partition: usize, log: &[Sent]) -> Vec<(i64, i64)> {
        match self {
            Stamping::Brokers { from, ahead } if changes_hands(partition) => {
                vec![(0, 0), (if ahead < 0 { from - SEEN } else { from }, ahead)]
            }
            Stamping::Brokers { .. } => vec![(0, 0)],
            Stamping::Producers(_) => log.iter().map(|sent| (sent.seen, sent.stamp.arrival - sent.seen)).collect(),
        }
    }
}

/// What partitions get: bursts and silence, rows that lie back, and some that lie back too far.
fn traffic(chance: &mut Chance, stamping: Stamping, flight_max: i64) -> Vec<Vec<Sent>> {
    let log = |partition: usize| {
        // All have shown a row before anything comes out.
        let is_mixed = matches!(stamping, Stamping::Producers(_)) && partition == 0;
        let (mut log, mut now) = (Vec::<Sent>::new(), STEP + partition as i64);
        while now < TRAFFIC {
            let pauses = [1, 30, 200, 500, 1400, 4000];
            // Where two clocks meet without stamps, silence is one that neither of them ends.
            let pauses = if is_mixed { &pauses[..4] } else { &pauses[..] };
            let ahead = stamping.ahead(partition, now);
            let is_other = is_mixed && chance.permille(300);
            let clock = now + if is_other { 0 } else { ahead };
            let lag = chance.of(&[0, 0, 10, 300, 500, 3000]) * MILLI;
            let before = log.last().map_or((i64::MIN, 0), |last| (last.stamp.arrival, last.seen));
            let seen = before.1.max(now + chance.between(0, flight_max));
            // Who takes a topic over has all that was stored of it before, and nothing comes from there later.
            let seen = match stamping {
                Stamping::Brokers { from, .. } if changes_hands(partition) && now < from => seen.min(from),
                _ => seen,
            };
            log.push(Sent { stamp: Stamp { event: clock - lag, arrival: before.0.max(clock) }, seen });
            now += chance.of(pauses) * MILLI;
            if chance.permille(100) && partition > 0 {
                now += 6 * SECOND;
            }
        }
        log
    };
    (0..3).map(log).collect()
}

/// What a reader knows of a partition.
struct Read {
    clock: PartitionClock,
    position: usize,
    level: i64,
    /// When the last message was received, and the one with the greatest time.
    received: (i64, i64),
}

/// What came of a reading.
#[derive(Debug, Default)]
struct Outcome {
    /// Rows with other times than the rule gives them, by partition and place.
    moved: Vec<(usize, usize)>,
    /// Those of them that a watermark forbade.
    counted: Vec<(usize, usize)>,
    /// By how much rows came later than the rule says.
    latest: i64,
}

fn spec() -> StreamSpec {
    let at = Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true);
    StreamSpec {
        name: "notes".to_owned(),
        schema: Arc::new(Schema::new(vec![at])),
        time_column: 0,
        delay: Span(DELAY),
        quiet: Quiet::After(Span(SECOND)),
        late: Late::Move,
        arrival: None,
        dedup_key: Vec::new(),
        bad_rows: BadRowPolicy::Fail,
        row_text: |_| Err(Error::internal("no row is bad")),
    }
}

struct Model<'a> {
    chance: Chance,
    stamping: Stamping,
    fault: Fault,
    logs: &'a [Vec<Sent>],
    spec: StreamSpec,
    partitions: Vec<Read>,
    given: i64,
    /// The time of each row that waits, by partition and place.
    waiting: BTreeMap<(usize, usize), i64>,
    times: BTreeMap<(usize, usize), i64>,
    out: BTreeMap<(usize, usize), i64>,
    counted: Vec<(usize, usize)>,
}

impl Model<'_> {
    /// The time up to which nothing more is there than what was read, if nothing more can be seen.
    fn drained(&self, partition: usize, now: i64) -> i64 {
        let (read, log) = (&self.partitions[partition], &self.logs[partition]);
        let margin = if self.fault == Fault::NoMargin { 0 } else { MARGIN };
        let last = log[read.position - 1].stamp.arrival;
        let (received, received_greatest) = read.received;
        margin.wrapping_neg()
            + match (self.stamping, self.fault) {
                (Stamping::Producers(_), Fault::BrokerWithoutStamps) => now,
                (Stamping::Producers(_), Fault::SilenceFromGreatest) => last + now - received_greatest,
                (Stamping::Producers(_), _) => last + now - received,
                (Stamping::Brokers { .. }, Fault::StampsOfBefore) => now + self.stamping.ahead(partition, now).max(0),
                (Stamping::Brokers { .. }, Fault::OtherBroker) => now + self.stamping.ahead(0, now),
                (Stamping::Brokers { .. }, _) => now + self.stamping.ahead(partition, now),
            }
    }

    /// The least time at which a row waits for this partition.
    fn due(&self, partition: usize) -> Option<i64> {
        let level = self.partitions[partition].level;
        self.waiting.values().copied().filter(|time| *time > level).min()
    }

    fn read(&mut self, partition: usize, now: i64) {
        let log = &self.logs[partition];
        while let Some(sent) = log.get(self.partitions[partition].position).filter(|sent| sent.seen <= now) {
            let key = (partition, self.partitions[partition].position);
            let arrival = ProcessingTime(sent.stamp.arrival);
            let open = self.partitions[partition].clock.at(arrival).map(|clock| clock.0 - DELAY);
            if open.is_some_and(|open| open <= self.given) {
                // It joins: what went on without it has come to the watermark.
                let clock = EventTime(self.given + DELAY + 1);
                let read = &mut self.partitions[partition];
                read.clock = PartitionClock::resume(&self.spec, Some(clock), read.clock.arrival());
                self.counted.push(key);
            }
            let read = &mut self.partitions[partition];
            let time = match read.clock.row(EventTime(sent.stamp.event), arrival) {
                Placed::OnTime(time) | Placed::Late(time) => time.0,
                other => panic!("{other:?}"),
            };
            assert!(time > self.given, "a row lies at {time}, and {} was given", self.given);
            let is_greater = key.1 == 0 || sent.stamp.arrival > log[key.1 - 1].stamp.arrival;
            read.received = (now, if is_greater { now } else { read.received.1 });
            read.position += 1;
            read.level = read.level.max(read.clock.watermark().map_or(i64::MIN, |level| level.0));
            self.times.insert(key, time);
            self.waiting.insert(key, time);
        }
    }

    fn ask(&mut self, partition: usize, now: i64) {
        let Some(due) = self.due(partition).filter(|_| self.partitions[partition].position > 0) else { return };
        let wanted = self.partitions[partition].clock.drained_for(EventTime(due));
        if self.fault == Fault::AskedByOurClock && wanted.is_some_and(|wanted| wanted.0 + MARGIN > now) {
            return;
        }
        let drained = ProcessingTime(self.drained(partition, now));
        let read = &mut self.partitions[partition];
        read.level = read.level.max(read.clock.watermark_drained(drained).map_or(i64::MIN, |level| level.0));
    }

    fn run(&mut self) {
        let mut now = 0;
        while now < END {
            for partition in 0..self.logs.len() {
                if self.chance.permille(900) {
                    self.read(partition, now);
                    self.ask(partition, now);
                }
            }
            let least = self.partitions.iter().map(|read| read.level).min().unwrap_or(i64::MIN);
            self.given = self.given.max(least);
            let passed = self.waiting.extract_if(.., |_, time| *time <= self.given);
            self.out.extend(passed.map(|(key, _)| (key, now)));
            now += STEP;
        }
    }
}

fn reading(seed: u64, stamping: Stamping, flight_max: i64, fault: Fault) -> Outcome {
    let mut chance = Chance::new(seed);
    let logs = traffic(&mut chance, stamping, flight_max);
    let spec = spec();
    let read = |_| Read { clock: PartitionClock::new(&spec), position: 0, level: i64::MIN, received: (0, 0) };
    let partitions = (0..logs.len()).map(read).collect();
    let (waiting, times, out) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let counted = Vec::new();
    let mut model = Model {
        chance,
        stamping,
        fault,
        logs: &logs,
        spec: spec.clone(),
        partitions,
        given: i64::MIN,
        waiting,
        times,
        out,
        counted,
    };
    model.run();
    let real = |(partition, log): (usize, &Vec<Sent>)| RealPartition {
        times: PartitionTimes::new(&log.iter().map(|sent| sent.stamp).collect::<Vec<_>>(), DELAY),
        there: log.iter().map(|sent| sent.seen).collect(),
        ahead: stamping.clocks(partition, log),
    };
    let truth: Vec<RealPartition> = logs.iter().enumerate().map(real).collect();
    let mut outcome = Outcome { counted: model.counted, latest: i64::MIN, ..Outcome::default() };
    for (partition, real) in truth.iter().enumerate() {
        for (place, &time) in real.times.times.iter().enumerate() {
            let key = (partition, place);
            if model.times[&key] != time {
                outcome.moved.push(key);
                continue;
            }
            let due = due_by_clocks(&truth, time, MARGIN).max(real.there[place]);
            if due < END - SECOND {
                outcome.latest = outcome.latest.max(model.out.get(&key).map_or(END, |out| *out) - due);
            }
        }
    }
    outcome
}

/// Brokers with clocks within the margin, with messages on their way.
fn within(seed: u64, fault: Fault) -> Outcome {
    let mut chance = Chance::new(seed);
    let ahead = chance.of(&[-100, -50, 0, 50, 100]) * MILLI;
    let stamping = Stamping::Brokers { from: chance.between(5, 25) * SECOND, ahead };
    // A message that was on its way was stamped by a clock that may be behind, and is seen later: both count.
    reading(seed, stamping, 100 * MILLI, fault)
}

/// Brokers with clocks that differ by seconds.
fn beyond(seed: u64, ahead: i64, fault: Fault) -> Outcome {
    let from = Chance::new(seed).between(5, 15) * SECOND;
    reading(seed, Stamping::Brokers { from, ahead }, 100 * MILLI, fault)
}

/// Producers whose clocks are an hour off.
fn producers(seed: u64, fault: Fault) -> Outcome {
    let hour = 3600 * SECOND;
    let ahead = [[0, 0, 0], [-hour, -hour, -hour], [0, hour, hour], [hour, hour, hour]];
    reading(seed, Stamping::Producers(Chance::new(seed).of(&ahead)), 50 * MILLI, fault)
}

const SEEDS: u64 = 60;

/// Whether a fault shows in readings: rows elsewhere, or rows that come later than they may.
fn shows(outcome: impl Fn(u64, Fault) -> Outcome, fault: Fault, moves: bool) -> bool {
    (0..SEEDS).any(|seed| {
        let outcome = outcome(seed, fault);
        if moves { !outcome.moved.is_empty() } else { outcome.latest > SEEN }
    })
}

#[test]
fn within_the_margin_rows_are_those_of_the_rule_and_nobody_is_held_back_longer() {
    for seed in 0..SEEDS {
        for outcome in [within(seed, Fault::None), producers(seed, Fault::None)] {
            assert_eq!((outcome.moved.len(), outcome.counted.len()), (0, 0), "seed {seed}: {outcome:?}");
            assert!(outcome.latest <= SEEN, "seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn beyond_the_margin_a_row_that_is_elsewhere_follows_one_that_is_counted() {
    let mut counted = 0;
    for seed in 0..SEEDS {
        for ahead in [-5 * SECOND, 5 * SECOND] {
            let outcome = beyond(seed, ahead, Fault::None);
            let follows = |&(partition, place): &(usize, usize)| {
                outcome.counted.iter().any(|&(of, first)| of == partition && first <= place)
            };
            assert!(outcome.moved.iter().all(follows), "seed {seed}: {outcome:?}");
            // Rows after one that was counted wait for the clock that it was given, which is a second at most.
            let latest = if outcome.counted.is_empty() { SEEN } else { SECOND + SEEN };
            assert!(outcome.latest <= latest, "seed {seed}: {outcome:?}");
            // A clock that is ahead forbids nothing.
            assert!(ahead < 0 || outcome.counted.is_empty(), "seed {seed}: {outcome:?}");
            counted += outcome.counted.len();
        }
    }
    assert!(counted > 10, "only {counted} rows came too late");
}

#[test]
fn faults_of_the_model_are_noticed() {
    assert!(shows(within, Fault::NoMargin, true));
    assert!(shows(producers, Fault::BrokerWithoutStamps, true));
    assert!(shows(producers, Fault::SilenceFromGreatest, true));
    assert!(shows(|seed, fault| beyond(seed, 5 * SECOND, fault), Fault::AskedByOurClock, false));
    assert!(shows(|seed, fault| beyond(seed, 5 * SECOND, fault), Fault::OtherBroker, false));
    // What a broker before has stamped forbids rows long after it gave the topic away.
    let counted = |fault| (0..SEEDS).map(|seed| beyond(seed, -5 * SECOND, fault).counted.len()).sum::<usize>();
    let (right, wrong) = (counted(Fault::None), counted(Fault::StampsOfBefore));
    assert!(wrong > 3 * right, "{wrong} rows, and {right} without the fault");
}
