//! Any checkpoint comes back as it was; any that is damaged is refused by name.

use super::objects::Objects;
use super::sample::{Pieces, all, check_same, facts};
use crate::manifest::Manifest;
use crate::reading;
use crate::store::Store;
use crate::{Checkpoints, JobFacts};
use dataflow::{
    Checkpoint, CheckpointStore, Committable, CoordinatorState, Error, ErrorKind, EventTime, Fate, Fates, Frozen,
    FrozenInput, JobRows, KEY_GROUPS, KeyGroup, KeyGroups, ManualClock, OutputState, PageScope, ProcessingTime,
    RestoredJob, Scope, Split, SplitState, StepState,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use xxhash_rust::xxh3::xxh3_128;

fn time() -> impl Strategy<Value = EventTime> {
    prop_oneof![Just(EventTime::MIN), Just(EventTime::MAX), any::<i64>().prop_map(EventTime)]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    // As tests have files of 64 bytes, some pieces are a file of their own.
    prop_oneof![4 => vec(any::<u8>(), 0..9), 1 => vec(any::<u8>(), 0..90)]
}

fn step() -> impl Strategy<Value = StepState<dataflow::Pieces>> {
    let group = (0..KEY_GROUPS).prop_map(|group| Scope::Group(KeyGroup(group)));
    let page = (0..KEY_GROUPS, 1..=KEY_GROUPS, any::<u32>(), time()).prop_map(|(one, other, first, watermark)| {
        let groups = KeyGroups { from: one.min(other - 1), to: other.max(one + 1) };
        Scope::Page(PageScope { groups, first, watermark })
    });
    let scope = prop_oneof![Just(Scope::Uniform), group, page];
    ("[a-c]{0,2}", time(), vec((scope, bytes()), 0..8)).prop_map(|(step, watermark, pieces)| StepState {
        step,
        watermark,
        state: Arc::new(pieces) as dataflow::Pieces,
    })
}

fn output() -> impl Strategy<Value = OutputState> {
    let pending = vec(bytes().prop_map(Committable), 0..3);
    (".{0,3}", proptest::option::of(bytes()), pending, any::<u64>())
        .prop_map(|(output, position, pending, known)| OutputState { output, position, pending, known })
}

fn coordinator() -> impl Strategy<Value = CoordinatorState> {
    let split = prop_oneof![any::<u16>().prop_map(Split::Share), any::<u32>().prop_map(Split::Partition)];
    let state = (split, bytes()).prop_map(|(split, position)| SplitState { split, position });
    (1..u64::MAX, vec((0..9usize, state), 0..3), vec(time(), 0..3))
        .prop_map(|(number, splits, watermarks)| CoordinatorState { number, splits, watermarks })
}

/// What a host would have frozen to restore it as this.
fn frozen(job: &RestoredJob) -> Checkpoint {
    let step = |step: &StepState<dataflow::Pieces>| StepState {
        step: step.step.clone(),
        watermark: step.watermark,
        state: Arc::new(Pieces(all(&step.state))) as Arc<dyn Frozen>,
    };
    Checkpoint {
        coordinator: job.coordinator.clone(),
        steps: job.steps.iter().map(step).collect(),
        inputs: job.inputs.clone(),
        outputs: job.outputs.clone(),
        rows: job.rows.clone(),
        last: job.last,
        replays: false,
    }
}

/// What became of rows in some nodes.
fn counts() -> impl Strategy<Value = Vec<(String, Fates)>> {
    let fates = vec(any::<i32>(), Fate::ALL.len()).prop_map(|counts| {
        let mut fates = Fates::default();
        Fate::ALL.into_iter().zip(counts).for_each(|(fate, rows)| fates.add(fate, rows.into()));
        fates
    });
    vec((".{0,3}", fates), 0..3)
}

prop_compose! {
    fn checkpoint()(
        coordinator in coordinator(),
        steps in vec(step(), 0..4),
        inputs in vec((".{0,3}", vec((time(), any::<bool>()), 0..3)), 0..3),
        outputs in vec(output(), 0..3),
        rows in (counts(), counts()),
        last in any::<bool>(),
    ) -> RestoredJob {
        let workers = |workers: Vec<(EventTime, bool)>| {
            workers.into_iter().map(|(given, is_absent)| FrozenInput { given, is_absent }).collect()
        };
        let inputs = inputs.into_iter().map(|(edge, of)| (edge, workers(of))).collect();
        let rows = JobRows { streams: rows.0, steps: rows.1 };
        RestoredJob { coordinator, steps, inputs, outputs, rows, last }
    }
}

prop_compose! {
    fn job()(
        texts in (".{0,4}", ".{0,4}", ".{0,4}"),
        start in time(),
        from in proptest::option::of(time()),
        bounded in any::<bool>(),
        histories in vec((".{0,3}".boxed(), ".{0,3}".boxed()), 0..3),
        generation in any::<u64>(),
    ) -> JobFacts {
        let (job, fingerprint, revision) = texts;
        JobFacts { job, fingerprint, revision, start, from, bounded, histories, generation, ..facts("") }
    }
}

fn run_over(store: &Arc<Objects>) -> Checkpoints {
    let clock = Arc::new(ManualClock::new(ProcessingTime(5)));
    Checkpoints::unlocked(store.clone(), 2, clock, Box::new(|e| panic!("{}", e.chain()))).unwrap()
}

/// A store with these checkpoints.
fn stored(facts: &JobFacts, checkpoints: &[&Checkpoint]) -> Arc<Objects> {
    let store = Arc::new(Objects::default());
    let mut run = run_over(&store);
    run.begin(facts.clone()).unwrap();
    checkpoints.iter().for_each(|checkpoint| run.put(checkpoint).unwrap());
    store
}

/// The newest checkpoint and its state, or why it cannot be read.
fn read(store: &Objects) -> dataflow::Result<(Manifest, RestoredJob)> {
    let newest = reading::newest(store)?.ok_or_else(|| Error::invalid("nothing there"))?;
    let restored = reading::restore(store, &newest)?;
    Ok((newest, restored))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_checkpoint_comes_back_as_it_was(facts in job(), first in checkpoint(), second in checkpoint()) {
        let (first, second) = (frozen(&first), frozen(&second));
        let store = stored(&facts, &[&first, &second, &first]);
        let (manifest, restored) = read(&store).unwrap();
        check_same(&restored, &first);
        let whole: Arc<dyn Store> = store.clone();
        check_same(&reading::restore_from(&whole, &manifest, 0).unwrap(), &first);
        prop_assert_eq!(&manifest.facts, &facts);
        let mut run = run_over(&store);
        let again = run.go_on(&manifest, &facts).unwrap();
        check_same(&again, &first);
        run.put(&second).unwrap();
        check_same(&read(&store).unwrap().1, &second);
    }

    #[test]
    fn damage_anywhere_is_refused_by_name(first in checkpoint(), second in checkpoint(), flip in 1..=255u8) {
        let (first, second) = (frozen(&first), frozen(&second));
        let store = stored(&facts("counts"), &[&first, &second]);
        let (manifest, _) = read(&store).unwrap();
        for name in store.list("").unwrap() {
            let bytes = store.read(&name).unwrap().unwrap();
            let damaged = |damage: Vec<u8>| {
                store.0.lock().unwrap().insert(name.clone(), damage);
                read(&store)
            };
            let is_named = name == "manifest-0000000002" || manifest.files.iter().any(|file| file.name == name);
            let check = |read: dataflow::Result<(Manifest, RestoredJob)>, what: &str| match read {
                Ok((_, restored)) => {
                    // Bytes of older checkpoints lie between those that are named.
                    assert!(!name.starts_with("manifest-0000000002"), "{name}: {what}");
                    check_same(&restored, &second);
                }
                Err(e) => {
                    assert!(is_named && e.kind() == ErrorKind::Corrupt && e.to_string().contains(&name), "{what}: {e}");
                }
            };
            for end in 0..bytes.len() {
                check(damaged(bytes[..end].to_vec()), &format!("cut at {end}"));
                let mut flipped = bytes.clone();
                flipped[end] ^= flip;
                check(damaged(flipped), &format!("byte {end} changed"));
            }
            damaged(bytes).unwrap();
        }
    }

    #[test]
    fn fields_that_nobody_can_have_written_are_refused(checkpoint in checkpoint(), flip in 1..=255u8) {
        let store = stored(&facts("counts"), &[&frozen(&checkpoint)]);
        let bytes = store.read("manifest-0000000001").unwrap().unwrap();
        for at in 24..bytes.len() {
            let mut fields = bytes[24..].to_vec();
            fields[at - 24] ^= flip;
            let sealed = [&bytes[..8], &xxh3_128(&fields).to_le_bytes(), &fields].concat();
            store.0.lock().unwrap().insert("manifest-0000000001".to_owned(), sealed);
            if let Err(e) = read(&store) {
                prop_assert_eq!(e.kind(), ErrorKind::Corrupt);
            }
        }
    }
}

#[test]
fn a_newer_format_is_named() {
    let store = Objects::default();
    let fields = [6u8];
    store
        .create("manifest-0000000001", &[&b"RRCKPT\r\n"[..], &xxh3_128(&fields).to_le_bytes(), &fields].concat())
        .unwrap();
    let error = reading::newest(&store).unwrap_err();
    assert_eq!(
        error.to_string(),
        "checkpoint manifest-0000000001 has format 6, and this riverrun reads formats up to 5: use the riverrun that wrote \
         it, or a newer one"
    );
}

#[test]
fn a_manifest_under_the_name_of_another_is_refused() {
    let store = stored(&facts("counts"), &[&super::sample::checkpoint(1, vec![], vec![])]);
    let bytes = store.read("manifest-0000000001").unwrap().unwrap();
    store.create("manifest-0000000007", &bytes).unwrap();
    let error = reading::newest(&*store).unwrap_err();
    assert!(error.to_string().contains("it says that its number is 1, expected 7"), "{error}");
}

#[test]
fn files_of_which_little_is_named_go_and_small_ones_become_one() {
    use super::sample::{checkpoint, group};
    let store = stored(&facts("counts"), &[]);
    let mut run = run_over(&store);
    run.begin(facts("counts")).unwrap();
    let text = |of: u64| format!("{of:020}");
    // The first piece stays as it is, all others change.
    let changing = |n: u64| vec![group(0, &text(0)), group(1, &text(n)), group(2, &text(n + 1000))];
    let mut files = Vec::new();
    for n in 1..=40 {
        run.put(&checkpoint(n, changing(n), vec![])).unwrap();
        let newest = read(&store).unwrap().0;
        assert!(newest.files.len() <= 2, "a file with the one and a file with the others");
        files.push(newest.files[0].name.clone());
    }
    files.dedup();
    assert!(files.len() < 12, "what stays is seldom written again: {files:?}");
    // A log that only grows.
    let grown = |n: u64| (0..n).map(|at| group(at as u16, &format!("{at:03}"))).collect::<Vec<_>>();
    let (mut most, mut written) = (0, 0);
    for n in 41..=140 {
        let before: Vec<String> = store.list("state").unwrap();
        run.put(&checkpoint(n, grown(n - 40), vec![])).unwrap();
        let newest = read(&store).unwrap().0;
        most = most.max(newest.files.len());
        written += newest.files.iter().filter(|file| !before.contains(&file.name)).map(|file| file.bytes).sum::<u64>();
    }
    assert!(most <= 5 + 300 / 32, "{most} files of up to 64 bytes hold 300");
    assert!(written < 3000, "{written} bytes were written, where 300 came");
    // What is read when steps take it up is read once, however pieces of several files follow each other.
    let (newest, restored) = read(&store).unwrap();
    let whole: Arc<dyn Store> = store.clone();
    let by_piece = reading::restore_from(&whole, &newest, 0).unwrap();
    let pieces = |job: &RestoredJob| job.steps.iter().flat_map(|step| all(&step.state)).collect::<Vec<_>>();
    assert_eq!(pieces(&by_piece), pieces(&restored));
    assert!(newest.files.len() > 1 && store.1.load(Relaxed) as u64 == newest.state_bytes());
}
