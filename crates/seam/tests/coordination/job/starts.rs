//! How a job crashes and starts again.

use super::*;

impl Job {
    pub(super) fn crash_at(&mut self, at: i64) {
        if self.crashes_happen {
            self.net.always_at(at, Event::Crash);
        }
    }

    pub fn crash(&mut self) {
        if self.down {
            return;
        }
        if !self.is_recorded() {
            self.net.always_at(self.net.now + 50 * MILLI, Event::Crash);
            return;
        }
        self.down = true;
        self.net.next_epoch();
        let back = self.net.now + self.random.of(&[1, 50, 500]) * MILLI;
        self.crashes.push((self.net.now, back));
        self.net.always_at(back, Event::Start);
        self.figures.restarts += 1;
    }

    /// Starts from the last durable checkpoint, if there is one: all anew, or with the coordinator that was there.
    pub(super) fn start(&mut self) -> Result<(), String> {
        self.net.next_epoch();
        (self.down, self.gathering, self.wrong) = (false, Gathering::default(), breaks::Memory::default());
        self.workers = 1 + self.random.below(3);
        for stream in &self.streams {
            stream.topic.inner.set_now(self.net.now);
        }
        let restored = match &self.store {
            Some(store) => Some(CoordinatorState::parse(&store.state).map_err(|error| error.chain())?),
            None => None,
        };
        let options = Options {
            until_caught_up: false,
            new_ends: false,
            from: None,
            memory_bytes: 1 << 20,
            spill_dir: std::env::temp_dir(),
            lead: Lead { rows: self.lead, bytes: usize::MAX },
        };
        let inputs = self.streams.iter().map(Stream::input).collect();
        let kept = self.coordinator.is_some() && self.random.percent(40);
        if self.store.is_none() && !kept {
            self.caps = self.streams.iter().map(|stream| stream.cap(self.net.now)).collect();
        }
        let seam = Seam::open(inputs, &options, restored.as_ref()).map_err(|error| error.chain())?;
        self.check_start(seam.start().0, restored.is_some() || kept)?;
        self.note_asks(false);
        self.durable = self.store.as_ref().map_or(vec![NEVER; self.streams.len()], |store| store.watermarks.clone());
        self.released = self.store.as_ref().map_or(vec![NEVER; self.streams.len()], |store| store.released.clone());
        self.given = self.store.as_ref().map_or_else(GivenRows::new, |store| store.given.clone());
        let meetings = breaks::meetings(self);
        let begun = seam.begin(self.workers, Arc::new(AtOnce), &meetings).map_err(|error| error.chain())?;
        let counts = self.make_readers(begun.0);
        if kept {
            self.figures.lost_readers += 1;
        } else {
            self.coordinator = Some(begun.1);
        }
        self.make_stages(&counts);
        let stages = self.stages.keys().copied().collect();
        self.tell(CoordinatorEvent::Start { readers: counts, stages })?;
        for id in self.stages.keys().copied().collect::<Vec<_>>() {
            let mut done = Done::default();
            self.stages.get_mut(&id).unwrap().advance(&mut self.published, &mut done);
            self.stage_did(id, done);
        }
        let at = self.net.now + self.millis(30, 300);
        self.net.at(at, Event::Periodic);
        Ok(())
    }

    fn make_readers(&mut self, readers: Vec<Vec<Box<dyn Reader>>>) -> Vec<usize> {
        self.readers.clear();
        let counts = readers.iter().map(Vec::len).collect();
        for (stream, readers) in readers.into_iter().enumerate() {
            for (index, mut reader) in readers.into_iter().enumerate() {
                let id = ReaderId { stream, index };
                reader.wake(std::task::Waker::noop()).unwrap();
                let told = Some(self.durable[stream]);
                self.readers.insert(id, ReaderSlot { reader, told, free: false, token: 0, splits: BTreeSet::new() });
                let at = self.net.now + self.hop();
                self.net.at(at, Event::Wake(id, 0));
                let now = self.net.now;
                let shown: Vec<i64> = self.streams[stream].shown.iter().flatten().copied().collect();
                for shown in shown.into_iter().filter(|&shown| shown > now) {
                    self.net.at(shown, Event::Wake(id, 0));
                }
            }
        }
        counts
    }

    fn make_stages(&mut self, readers: &[usize]) {
        self.stages.clear();
        let delays: Vec<i64> = self.streams.iter().map(|stream| stream.delay).collect();
        for stage in (0..5).filter(|&stage| inputs_of(stage)[0] < self.streams.len()) {
            for worker in 0..self.workers {
                let id = StageId { stage, worker };
                let frozen = self.store.as_ref().map(|store| store.stages[&stage].clone());
                let mut made = Stage::new(id, self.workers, (readers, &delays), frozen, &self.published);
                made.break_it(breaks::stage(self.broken));
                self.stages.insert(id, made);
            }
        }
    }
}
