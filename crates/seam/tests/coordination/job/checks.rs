//! What has to hold while a job runs.

use super::*;

impl Job {
    /// Whether every message below a time up to which its partition was said to be drained is in a checkpoint, or where it
    /// joins: before that a restart would find it where outputs went on without it, as docs/guarantees.md says.
    pub(super) fn is_recorded(&self) -> bool {
        let kept = |stream: usize, (partition, row): (u32, usize)| {
            let joined = self.joins.get(&(stream, partition)).is_some_and(|joins| joins.contains_key(&row));
            let of = |store: &Store| {
                store.given.get(&(stream, Split::Partition(partition)))?.get(&(partition, row as u64)).copied()
            };
            joined || self.store.as_ref().and_then(of).is_some()
        };
        self.streams.iter().enumerate().all(|(number, stream)| {
            stream.topic.answers.lock().unwrap().missed.iter().all(|&missed| kept(number, missed))
        })
    }

    /// Outputs begin at the least watermark of the partitions that have rows when the job begins for the first time, and
    /// there for ever after.
    pub(super) fn check_start(&mut self, start: i64, again: bool) -> Result<(), String> {
        let least = self.caps.iter().copied().filter(|&cap| cap > NEVER).min().unwrap_or(NEVER);
        if !again {
            self.outputs_begin = least;
        }
        if start == self.outputs_begin || (again && self.store.is_none()) {
            return Ok(());
        }
        Err(format!("outputs begin at {start}, and not at {}", self.outputs_begin))
    }

    /// Stages of all workers have one watermark at a barrier.
    pub(super) fn check_stages(&self) -> Result<(), String> {
        let mut levels = BTreeMap::new();
        for (id, frozen) in &self.gathering.stages {
            let first = *levels.entry(id.stage).or_insert(frozen.levels());
            if first != frozen.levels() {
                return Err(format!("one watermark at a barrier: {first:?} and {:?}", frozen.levels()));
            }
        }
        Ok(())
    }

    /// Where partitions join, by the rule: a present reader at the watermark that it held, an absent one at the stream's,
    /// or, where the stream has none, at the highest operator that it reaches, and never below what was given.
    pub(super) fn note_joins(&mut self, state: &CoordinatorState) -> Result<(), String> {
        let mut joins = Vec::new();
        for (id, frozen) in &self.gathering.readers {
            let of_stream = || self.gathering.readers.iter().filter(|(other, _)| other.stream == id.stream);
            let present = of_stream().filter(|(_, frozen)| !frozen.absent).map(|(_, frozen)| frozen.watermark.0).min();
            let reached = |step: &usize| STEPS[*step].inputs.contains(&id.stream);
            let levels = self.gathering.stages.values().flat_map(Frozen::levels);
            let top = levels.filter(|(step, _)| reached(step)).map(|(_, level)| *level);
            let gave = of_stream().map(|(_, frozen)| frozen.watermark.0);
            let stream = present.or(top.chain(gave).max()).unwrap_or(NEVER).max(self.durable[id.stream]);
            let level = if frozen.absent { stream } else { frozen.watermark.0 }.max(self.caps[id.stream]);
            let (delay, now) = (self.streams[id.stream].delay, self.net.now);
            if frozen.absent && !frozen.joining.is_empty() && stream > self.durable[id.stream] && level > now - delay {
                return Err(format!("moved by others: {id:?} joins at {level} at {now}, with a delay of {delay}"));
            }
            for split in &frozen.joining {
                let Split::Partition(partition) = split else { continue };
                let clock = (level > NEVER).then(|| level + self.streams[id.stream].delay + 1);
                let given = self.gathering.given.get(&(id.stream, *split)).and_then(|given| given.keys().last());
                let archived = self.streams[id.stream].archived[*partition as usize];
                let row = given.map_or(archived, |(_, row)| *row as usize + 1);
                joins.push(((id.stream, *partition), row, clock));
            }
        }
        self.gathering.joins = joins;
        self.durable = state.watermarks.iter().map(|watermark| watermark.0).collect();
        Ok(())
    }

    /// The least watermark that the streams that meet a stream have given out, over readers that do not just follow.
    pub(super) fn least(&self, stream: usize) -> i64 {
        let met = self.readers.iter().filter(|(id, _)| meet(stream).contains(&id.stream));
        met.filter(|(_, slot)| !slot.free).filter_map(|(_, slot)| slot.told).min().unwrap_or(NEVER)
    }

    /// Beyond the window only so many rows are out that are not released.
    pub(super) fn check_lead(&self, id: ReaderId, least: i64) -> Result<(), String> {
        let passed = self.stages.values().filter_map(|stage| stage.passed(id.stream)).min().unwrap_or(NEVER);
        let out = self.out_above(id, least.max(passed)).len();
        if out <= self.lead + ROWS_MAX {
            Ok(())
        } else {
            Err(format!("lead: {id:?}: {out} rows out, {} may be", self.lead))
        }
    }

    /// Whether rows of a partition were given out.
    pub fn has_given(&self, stream: usize, partition: u32) -> bool {
        self.given.contains_key(&(stream, Split::Partition(partition)))
    }

    /// The times of rows that a reader has out above a time.
    pub fn out_above(&self, id: ReaderId, above: i64) -> Vec<i64> {
        let splits = self.readers[&id].splits.iter().filter_map(|split| self.given.get(&(id.stream, *split)));
        splits.flat_map(BTreeMap::values).copied().filter(|&time| time > above).collect()
    }
}
