//! Drives the stages of a job, one after the other, each by several workers that take events in any order.

use super::dice::Dice;
use super::feed::{Event, Sender};
use super::held::{self, Arrivals};
use super::job::{Job, Step};
use super::naive::Naive;
use super::seen::Seen;
use dataflow::{
    Batch, Budget, Delays, Edge, EventTime, Fate, Fates, FrozenStage, KeyGroups, Outlet, Port, Progress, Snapshot,
    Splitter, Stage, StagePlan,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// What left at a place, per barrier and sender.
pub(super) type Sent = BTreeMap<(usize, Port), Vec<Vec<Sender>>>;

/// A stage in all workers.
struct Host<'a> {
    job: &'a Job,
    plan: &'a StagePlan,
    naive: &'a Naive,
    dice: &'a mut Dice,
    seen: &'a mut Seen,
    budget: Budget,
    workers: Vec<Worker>,
    arrived: Arrivals<'a>,
    // Per node of the plan what became of rows in instances that are gone.
    fates: Vec<Fates>,
}

struct Worker {
    stage: Stage,
    index: usize,
    lanes: Vec<Lane>,
    // Per outlet what was sent since the last barrier, and the last watermark.
    sent: Vec<Vec<Event>>,
    told: Vec<Option<EventTime>>,
    // Per outlet the greatest watermark so far.
    reached: Vec<EventTime>,
}

struct Lane {
    input: usize,
    watermark: Option<EventTime>,
    queue: VecDeque<Event>,
}

/// Runs a stage over what was sent to it; gives what leaves its outlets.
pub(super) fn run(
    (job, plan, naive): (&Job, &StagePlan, &Naive),
    timeline: &[usize],
    sent: &Sent,
    (dice, seen): (&mut Dice, &mut Seen),
) -> Vec<Vec<Vec<Sender>>> {
    let bytes = dice.pick(&[1, 500, 1 << 20]);
    let budget = Budget { rows: dice.pick(&[1, 2, 3, 5, 17, 100]), bytes };
    let arrived = Arrivals { job, plan, naive, orders: vec![Vec::new(); plan.inputs.len()] };
    let fates = vec![Fates::default(); plan.nodes.len()];
    let mut host = Host { job, plan, naive, dice, seen, budget, workers: vec![], arrived, fates };
    host.workers = host.start(if plan.single { 1 } else { timeline[0] });
    let mut left = vec![Vec::new(); plan.outlets.len()];
    for (passed, &workers) in timeline.iter().enumerate() {
        let workers = if plan.single { 1 } else { workers };
        if passed > 0 && (workers != host.workers.len() || host.dice.chance(30)) {
            host.rescale(workers);
        }
        let present = host.open(passed, sent);
        while host.step() {}
        for (outlet, left) in left.iter_mut().enumerate() {
            let present = present.iter().map(|outlets| outlets[outlet]);
            left.push(
                host.workers.iter_mut().zip(present).map(|(worker, present)| worker.take(outlet, present)).collect(),
            );
        }
    }
    host.retire();
    host.check_fates();
    host.check_sequence(&left);
    left
}

impl Host<'_> {
    fn start(&mut self, count: usize) -> Vec<Worker> {
        (0..count).map(|index| self.worker(index, count)).collect()
    }

    fn worker(&self, index: usize, count: usize) -> Worker {
        let after = |node: usize| match self.job.steps[node] {
            Step::Sink(after) => after,
            _ => panic!("node {node} is no sink"),
        };
        let groups = KeyGroups::of_worker(index, count);
        let mut stage = Stage::new(&self.job.graph, self.plan, groups, &after, self.budget).unwrap();
        for (input, edge) in self.plan.inputs.iter().enumerate() {
            stage.set_delays(input, self.job.delays[edge.from]);
        }
        let outlets = self.plan.outlets.len();
        Worker {
            stage,
            index,
            lanes: vec![],
            sent: vec![vec![]; outlets],
            told: vec![None; outlets],
            reached: vec![EventTime::MIN; outlets],
        }
    }

    /// Opens the lanes after a barrier; gives which outlets of which worker are present there.
    fn open(&mut self, passed: usize, sent: &Sent) -> Vec<Vec<bool>> {
        let edges: Vec<Edge> = self.plan.inputs.clone();
        let mut present = Vec::new();
        let workers = self.workers.len();
        for worker in &mut self.workers {
            worker.lanes.clear();
            for (input, edge) in edges.iter().enumerate() {
                let splitter = Splitter::new(edge.exchange.clone(), workers);
                for sender in &sent[&(edge.from, edge.port)][passed] {
                    if !splitter.destinations(sender.worker).contains(&worker.index) {
                        continue;
                    }
                    let queue = sender.events.iter().filter_map(|event| share(&splitter, sender, event, worker.index));
                    let watermark = sender.is_present.then(|| worker.stage.present_at(input));
                    worker.lanes.push(Lane { input, watermark, queue: queue.collect() });
                }
            }
            worker.set_delays(self.plan, self.job);
            for input in 0..edges.len() {
                let (before, now) = (worker.stage.input_watermark(input), worker.least(input));
                self.seen.joins += usize::from(passed > 0 && before.is_none() && now.is_some());
                worker.stage.set_watermark(input, now);
            }
            present.push((0..self.plan.outlets.len()).map(|at| worker.stage.watermark(at).is_some()).collect());
            let progress = worker.stage.settle().unwrap();
            worker.drain(progress, self.budget, self.plan, self.seen);
            if progress == Progress::Done {
                worker.tell(self.plan, self.job);
            }
        }
        present
    }

    /// Makes one call; whether there was one to make.
    fn step(&mut self) -> bool {
        let can_run =
            |worker: &&mut Worker| worker.stage.is_pending() || worker.lanes.iter().any(|lane| !lane.queue.is_empty());
        let count = self.workers.iter_mut().filter(can_run).count();
        if count == 0 {
            return false;
        }
        let chosen = self.dice.below(count);
        let worker = self.workers.iter_mut().filter(can_run).nth(chosen).unwrap();
        let progress = match worker.stage.is_pending() {
            true => worker.stage.resume().unwrap(),
            false => worker.take_event(self.dice, &mut self.arrived.orders),
        };
        worker.drain(progress, self.budget, self.plan, self.seen);
        if progress == Progress::More {
            return true;
        }
        worker.tell(self.plan, self.job);
        let index = worker.index;
        if self.dice.chance(10) {
            self.take_up(index);
        }
        if self.dice.chance(30) {
            self.check_due();
        }
        true
    }

    /// Freezes one worker and goes on with another that is restored.
    fn take_up(&mut self, index: usize) {
        self.seen.freezes += 1;
        let count = self.workers.len();
        let frozen = self.workers[index].stage.freeze().unwrap();
        self.count(index);
        let mut new = self.worker(index, count);
        restore(&mut new.stage, &[frozen]);
        let old = &mut self.workers[index];
        for input in 0..self.plan.inputs.len() {
            let (before, now) = (old.stage.present_at(input), new.stage.present_at(input));
            assert_eq!(now, before, "where senders of input {input} turn present");
        }
        new.lanes = std::mem::take(&mut old.lanes);
        new.sent = std::mem::take(&mut old.sent);
        new.told = std::mem::take(&mut old.told);
        new.reached = std::mem::take(&mut old.reached);
        new.set_delays(self.plan, self.job);
        self.workers[index] = new;
        self.workers[index].tell(self.plan, self.job);
    }

    /// Goes on with so many workers, which take up the state of those that were.
    fn rescale(&mut self, count: usize) {
        self.seen.rescales += usize::from(count != self.workers.len());
        let frozen: Vec<FrozenStage> = self.workers.iter_mut().map(|worker| worker.stage.freeze().unwrap()).collect();
        let least = |outlet: usize| self.workers.iter().map(|worker| worker.reached[outlet]).min();
        let reached: Vec<EventTime> = (0..self.plan.outlets.len()).filter_map(least).collect();
        self.retire();
        let mut new = self.start(count);
        for worker in &mut new {
            restore(&mut worker.stage, &frozen);
            let outlets = 0..self.plan.outlets.len();
            worker.reached.clone_from(&reached);
            worker.told = outlets.map(|outlet| worker.stage.watermark(outlet)).collect();
        }
        self.workers = new;
    }

    /// Counts what became of rows in a worker that is about to go. Held rows are counted again where they are taken up.
    fn count(&mut self, index: usize) {
        for (sum, node) in self.fates.iter_mut().zip(self.workers[index].stage.nodes()) {
            let mut fates = *node.fates;
            fates.add(Fate::Held, -fates.of(Fate::Held));
            sum.merge(&fates);
        }
    }

    fn retire(&mut self) {
        (0..self.workers.len()).for_each(|index| self.count(index));
    }

    /// When what is held comes out is what the twins say, where all workers have come equally far.
    fn check_due(&mut self) {
        let levels = |worker: &Worker| worker.stage.nodes().map(|node| node.watermark).collect::<Vec<_>>();
        let first = levels(&self.workers[0]);
        let is_even = self.workers.iter().all(|worker| levels(worker) == first && !worker.stage.is_pending());
        if !is_even || self.plan.inputs.is_empty() {
            return;
        }
        let input = self.dice.below(self.plan.inputs.len());
        let waits = |worker: &Worker| {
            let of_node =
                |&node: &usize| worker.waits(&held::reached_by(self.job, self.plan, node), input, self.plan, self.job);
            self.plan.nodes.iter().map(of_node).collect::<Vec<i64>>()
        };
        let behind = waits(&self.workers[0]);
        if self.workers.iter().any(|worker| waits(worker) != behind) {
            return;
        }
        let above = if self.dice.chance(40) { i64::MIN } else { self.dice.between(-20, 60) };
        let workers = self.workers.iter();
        let found = workers.filter_map(|worker| worker.stage.next_due(input, EventTime(above))).min();
        let expected = held::next_due(&self.arrived, (&first, &behind), input, above);
        assert_eq!(found.map(|found| found.0), expected, "input {input} above {above} of {:?}", self.plan.nodes);
        self.seen.due += usize::from(expected.is_some());
    }

    /// Rows that nothing brings into order leave a worker in the sequence in which they came.
    fn check_sequence(&self, left: &[Vec<Vec<Sender>>]) {
        for (outlet, senders) in self.plan.outlets.iter().zip(left) {
            let (Outlet::Port(node, _) | Outlet::Sink(node)) = *outlet;
            let Some(input) = held::straight(self.job, self.plan, node) else { continue };
            let places: HashMap<u128, usize> = self.arrived.orders[input].iter().copied().zip(0..).collect();
            for sender in senders.iter().flatten() {
                let batches = sender.events.iter().filter_map(|event| match event {
                    Event::Rows(batch) => Some(batch),
                    Event::Watermark(_) => None,
                });
                let orders = batches.flat_map(|batch| (0..batch.rows()).map(|row| batch.order(row).0));
                let places: Vec<usize> = orders.map(|order| places[&order]).collect();
                assert!(places.is_sorted(), "rows of {outlet:?} left in the sequence {places:?}");
            }
        }
    }

    /// All rows that came into a node went out or are counted as what became of them.
    fn check_fates(&self) {
        for (&node, fates) in self.plan.nodes.iter().zip(&self.fates) {
            let (step, of) = (&self.job.steps[node], |fate| fates.of(fate));
            let input = step.has_sides().then_some(0);
            let came = self.naive.into(self.job, node, input).len() as i64;
            assert_eq!(of(Fate::In), came, "rows into node {node}");
            let removed = of(Fate::Filtered) + of(Fate::Deduplicated) + of(Fate::Bad) + of(Fate::DeadLettered);
            let out = match step {
                Step::Sink(_) => self.naive.of(node, Port::MAIN).len() as i64,
                _ => of(Fate::Out),
            };
            assert_eq!(came, out + removed, "rows of node {node}");
        }
    }
}

impl Worker {
    fn take_event(&mut self, dice: &mut Dice, arrived: &mut [Vec<u128>]) -> Progress {
        let ready: Vec<usize> = (0..self.lanes.len()).filter(|&lane| !self.lanes[lane].queue.is_empty()).collect();
        let lane = dice.pick(&ready);
        let input = self.lanes[lane].input;
        match self.lanes[lane].queue.pop_front().unwrap() {
            Event::Rows(batch) => {
                arrived[input].extend((0..batch.rows()).map(|row| batch.order(row).0));
                self.stage.push(input, batch).unwrap()
            }
            Event::Watermark(reached) => {
                // What was given before a barrier is given again after it, and lies below the level.
                let before = self.lanes[lane].watermark;
                self.lanes[lane].watermark =
                    reached.map(|reached| before.map_or(reached, |before| before.max(reached)));
                let least = self.least(input);
                self.stage.advance(input, least).unwrap()
            }
        }
    }

    fn least(&self, input: usize) -> Option<EventTime> {
        self.lanes.iter().filter(|lane| lane.input == input).filter_map(|lane| lane.watermark).min()
    }

    /// Takes what a call put out: at most what the budget says and one call of an operator.
    fn drain(&mut self, progress: Progress, budget: Budget, plan: &StagePlan, seen: &mut Seen) {
        let mut rows = vec![0; plan.outlets.len()];
        for (outlet, batch) in self.stage.drain() {
            rows[outlet] += batch.rows();
            self.sent[outlet].push(Event::Rows(batch));
        }
        for (outlet, &rows) in plan.outlets.iter().zip(&rows) {
            if matches!(outlet, Outlet::Port(_, Port::MAIN | Port::RECORDS)) {
                // With room for a byte the first rows that leave end the call.
                let most = if budget.bytes == 1 { budget.rows } else { 2 * budget.rows - 1 };
                assert!(rows <= most, "{rows} rows left at {outlet:?} in one call, with {budget:?}");
            }
        }
        seen.more += usize::from(progress == Progress::More);
        assert!(progress == Progress::Done || rows.iter().any(|&rows| rows > 0), "a call stopped without rows");
    }

    /// What streams declare whose rows can come to this worker.
    fn delays(&self, input: usize, plan: &StagePlan, job: &Job) -> Delays {
        let is_fed = self.lanes.iter().any(|lane| lane.input == input);
        if is_fed { job.delays[plan.inputs[input].from] } else { Delays::default() }
    }

    fn set_delays(&mut self, plan: &StagePlan, job: &Job) {
        for input in 0..plan.inputs.len() {
            self.stage.set_delays(input, self.delays(input, plan, job));
        }
    }

    /// How much less far an input lets a step go for the sake of others that are absent.
    fn waits(&self, reached: &BTreeSet<usize>, input: usize, plan: &StagePlan, job: &Job) -> i64 {
        let delays = |input: usize| self.delays(input, plan, job);
        let absent = reached.iter().filter(|&&other| self.least(other).is_none());
        let longest = absent.map(|&other| delays(other).greatest.0).max().unwrap_or(0);
        if self.least(input).is_some() { (longest - delays(input).least.0).max(0) } else { 0 }
    }

    /// Sends the watermarks of the outlets that have moved: each is the least of the inputs that reach it, and never goes
    /// back.
    fn tell(&mut self, plan: &StagePlan, job: &Job) {
        for (at, outlet) in plan.outlets.iter().enumerate() {
            let (Outlet::Port(node, _) | Outlet::Sink(node)) = *outlet;
            let reached = held::reached_by(job, plan, node);
            let level = |&input: &usize| {
                Some(EventTime(self.least(input)?.0.saturating_sub(self.waits(&reached, input, plan, job))))
            };
            let least = reached.iter().filter_map(level).min();
            let least = least.map(|least| least.max(self.reached[at]));
            self.reached[at] = least.unwrap_or(self.reached[at]);
            let now = self.stage.watermark(at);
            // A sink keeps no state, and begins anew where a stage is restored.
            let is_sink = matches!(outlet, Outlet::Sink(_)) && now.is_some() == least.is_some();
            assert!(
                now == least || is_sink,
                "{now:?} is the watermark of {outlet:?}, which {reached:?} reach, not {least:?}"
            );
            if now != self.told[at] && !is_sink {
                self.told[at] = now;
                self.sent[at].push(Event::Watermark(now));
            }
        }
    }

    fn take(&mut self, outlet: usize, is_present: bool) -> Sender {
        let events = std::mem::take(&mut self.sent[outlet]);
        Sender { worker: self.index, is_present, events }
    }
}

/// What a worker gets of an event.
fn share(splitter: &Splitter, sender: &Sender, event: &Event, worker: usize) -> Option<Event> {
    let Event::Rows(batch) = event else { return Some(event.clone()) };
    let parts: Vec<(usize, Batch)> = splitter.split(sender.worker, batch.clone()).unwrap();
    parts.into_iter().find(|(to, _)| *to == worker).map(|(_, batch)| Event::Rows(batch))
}

/// Takes up what several workers froze, and their inputs' watermarks.
fn restore(stage: &mut Stage, frozen: &[FrozenStage]) {
    for one in frozen {
        for (node, watermark, state) in &one.nodes {
            let mut snapshot = Snapshot::default();
            state.write(&mut snapshot).unwrap();
            stage.restore(*node, *watermark, &mut snapshot).unwrap();
        }
    }
    for input in 0..frozen[0].inputs.len() {
        let parts = || frozen.iter().map(|one| one.inputs[input]);
        parts().for_each(|part| stage.restore_input(input, part));
        // What readers and senders say again after a restore lies at or below what they had said.
        for stale in [None, parts().map(|part| part.given).min()].map(|given| given.unwrap_or(EventTime::MIN)) {
            assert_eq!(stage.advance(input, Some(stale)).unwrap(), Progress::Done);
            assert_eq!(stage.input_watermark(input), parts().map(|part| part.given).min(), "after {stale}");
        }
        let least = parts().filter(|part| !part.is_absent).map(|part| part.given).min();
        assert_eq!(stage.advance(input, least).unwrap(), Progress::Done);
    }
    assert_eq!(stage.drain().count(), 0, "rows come out where state is taken up");
}
