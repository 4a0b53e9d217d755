//! Checkpoints as tests write them.

use crate::{Checkpoints, Feed, JobFacts, JobPlan, OutputCut, PlannedOutput, PlannedPart, PlannedState, PlannedStream};
use dataflow::{
    Checkpoint, Committable, CoordinatorState, EventTime, Fate, Fates, Frozen, FrozenInput, JobRows, KeyGroup,
    KeyGroups, ManualClock, OutputState, PiecesOf, ProcessingTime, RestoredJob, Result, RowOrder, Scope, Span, Split,
    SplitState, StateReader, StateWriter, StepState,
};
use std::path::Path;
use std::sync::Arc;

/// State that was frozen as these pieces.
pub struct Pieces(pub Vec<(Scope, Vec<u8>)>);

impl Frozen for Pieces {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        self.0.iter().try_for_each(|(scope, bytes)| out.put(*scope, bytes))
    }
}

pub fn group(group: u16, text: &str) -> (Scope, Vec<u8>) {
    (Scope::Group(KeyGroup(group)), text.as_bytes().to_vec())
}

pub fn uniform(text: &str) -> (Scope, Vec<u8>) {
    (Scope::Uniform, text.as_bytes().to_vec())
}

pub fn facts(job: &str) -> JobFacts {
    JobFacts {
        job: job.to_owned(),
        fingerprint: "9a1c".to_owned(),
        revision: "of May".to_owned(),
        start: EventTime(7),
        from: Some(EventTime(-3)),
        bounded: false,
        histories: vec![("plays".to_owned(), "snapshot 4".to_owned())],
        generation: 2,
        plan: plan(),
        cuts: vec![OutputCut {
            output: "counts".to_owned(),
            after: EventTime(5),
            messages: vec![RowOrder(3), RowOrder(u128::MAX)],
        }],
        reads_from: Some(EventTime(-9)),
    }
}

fn plan() -> JobPlan {
    let texts = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    let part = |name: &str, content| PlannedPart {
        name: name.to_owned(),
        content,
        computes: "the first".to_owned(),
        state: (content > 7).then(|| PlannedState {
            held: 1 << 90,
            carried: 4,
            functions: vec![(3, "n = count(*) over 1 hour".to_owned())],
            layout: vec![1, 9],
        }),
    };
    let feed = |is_ordered: bool| Feed {
        node: "m.dedup[id]".to_owned(),
        stream: Some(0),
        is_ordered,
        is_removed: !is_ordered,
        wait: is_ordered.then_some(Span(70)),
    };
    JobPlan {
        streams: vec![PlannedStream { name: "m".to_owned(), settings: vec![texts("delay", "2 seconds")] }],
        steps: vec![part("m.dedup[id]", u128::MAX - 1)],
        inputs: vec![part("m by id", 7)],
        outputs: vec![PlannedOutput {
            name: "counts".to_owned(),
            content: 9 << 100,
            is_topic: true,
            columns: vec![texts("id", "TEXT"), texts("n", "BIGINT")],
            feeds: vec![feed(true), feed(false)],
        }],
    }
}

/// A checkpoint of a job with one step in two workers.
fn fates<const N: usize>(counts: [(Fate, i64); N]) -> Fates {
    let mut fates = Fates::default();
    counts.into_iter().for_each(|(fate, rows)| fates.add(fate, rows));
    fates
}

pub fn checkpoint(number: u64, left: Vec<(Scope, Vec<u8>)>, right: Vec<(Scope, Vec<u8>)>) -> Checkpoint {
    let step = |pieces, watermark| StepState {
        step: "m.dedup[id]".to_owned(),
        watermark: EventTime(watermark),
        state: Arc::new(Pieces(pieces)) as Arc<dyn Frozen>,
    };
    let position = vec![number as u8, 0xff];
    Checkpoint {
        coordinator: CoordinatorState {
            number,
            splits: vec![(0, SplitState { split: Split::Partition(1), position })],
            watermarks: vec![EventTime(number as i64)],
        },
        steps: vec![step(left, 10), step(right, EventTime::MIN.0)],
        inputs: vec![("m by id".to_owned(), vec![FrozenInput { given: EventTime(5), is_absent: number == 2 }])],
        rows: JobRows {
            streams: vec![("m".to_owned(), fates([(Fate::In, 13), (Fate::Out, 12), (Fate::Bad, 1)]))],
            steps: vec![("lake.t".to_owned(), fates([(Fate::In, 9), (Fate::Out, 7), (Fate::Filtered, 2)]))],
        },
        outputs: vec![OutputState {
            output: "counts".to_owned(),
            position: Some(vec![3]),
            pending: vec![Committable(vec![1, 2]), Committable(vec![])],
            known: number - 1,
        }],
        last: false,
        replays: false,
    }
}

/// Whether a job was restored as it was frozen.
pub fn check_same(restored: &RestoredJob, frozen: &Checkpoint) {
    assert_eq!(restored.coordinator, frozen.coordinator);
    assert_eq!(restored.inputs, frozen.inputs);
    assert_eq!(restored.outputs, frozen.outputs);
    assert_eq!(restored.rows, frozen.rows);
    assert_eq!(restored.last, frozen.last);
    assert_eq!(restored.steps.len(), frozen.steps.len());
    for (restored, frozen) in restored.steps.iter().zip(&frozen.steps) {
        assert_eq!((&restored.step, restored.watermark), (&frozen.step, frozen.watermark));
        assert_eq!(all(&restored.state), pieces_of(&*frozen.state));
    }
}

/// All pieces of restored state.
pub fn all(pieces: &dataflow::Pieces) -> Vec<(Scope, Vec<u8>)> {
    let mut reader = PiecesOf::new(pieces, KeyGroups::ALL);
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

fn pieces_of(frozen: &dyn Frozen) -> Vec<(Scope, Vec<u8>)> {
    struct All(Vec<(Scope, Vec<u8>)>);
    impl StateWriter for All {
        fn put(&mut self, scope: Scope, bytes: &[u8]) -> Result<()> {
            self.0.push((scope, bytes.to_vec()));
            Ok(())
        }
    }
    let mut all = All(Vec::new());
    frozen.write(&mut all).unwrap();
    all.0
}

/// Opens a folder; it is an error if anything could not be collected.
pub fn open(folder: &Path, kept: usize) -> Result<Checkpoints> {
    let clock = Arc::new(ManualClock::new(ProcessingTime(1_700_000_000_000_000)));
    Checkpoints::open(folder, kept, clock, Box::new(|e| panic!("{}", e.chain())))
}

/// Goes on from the newest checkpoint in a folder.
pub fn go_on(folder: &Path, kept: usize) -> Result<(Checkpoints, RestoredJob)> {
    let mut run = open(folder, kept)?;
    let newest = run.newest()?.unwrap();
    let restored = run.go_on(&newest, &facts("counts"))?;
    Ok((run, restored))
}

/// The names in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}
