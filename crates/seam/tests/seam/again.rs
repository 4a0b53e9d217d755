//! What a checkpoint had read, read again from the beginning: the same rows and no other, up to the same watermarks,
//! whatever topics and archives have gained since.

use crate::going_on::again;
use crate::host::{Host, Kept, Run};
use crate::memory::*;
use crate::switch::input;
use dataflow::{CoordinatorState, EventTime, Message, Span};
use seam::{Lead, Quiet, StreamInput, has_read_history, read_again};
use std::sync::Arc;

/// A stream with its log.
struct Read {
    topic: Arc<MemoryTopic>,
    logs: Vec<Vec<Message>>,
    input: StreamInput,
}

fn stream(random: &mut Random, name: &str) -> Read {
    let delay = random.of(&[0, 10 * MILLI, 2 * SECOND]);
    let span = random.of(&[MILLI, 100 * MILLI, SECOND]);
    let logs = random_logs(random, delay, span);
    let topic = Arc::new(MemoryTopic::new(name, logs.clone()));
    let counts: Vec<usize> = logs.iter().map(|log| random.below(log.len() + 1)).collect();
    let spec = spec(delay, Quiet::After(Span(span)));
    let input = input(random, &spec, &topic, &counts, &logs);
    Read { topic, logs, input }
}

fn run(random: &mut Random, now: i64, until_caught_up: bool) -> Run {
    let lead = Lead { rows: random.of(&[0, 1, 20, 256 << 10]) as usize, bytes: 64 << 20 };
    Run { now, lead, ..Run::new(until_caught_up, 1 + random.below(3)) }
}

/// Runs a job on topics that grow, up to some moment, and takes a checkpoint there; gives the rows up to it. Nothing where
/// history was not read to its end, and where rows joined: a log alone does not place those.
fn checkpoint(random: &mut Random, streams: &[Read]) -> Option<(Kept, Vec<Vec<Row>>)> {
    let archived = |read: &Read| read.logs.iter().flatten().map(|message| message.arrival.0).max();
    let last = streams.iter().filter_map(archived).max().unwrap_or(0);
    streams.iter().for_each(|read| read.topic.set_now(last));
    let inputs = streams.iter().map(|read| again(&read.input)).collect();
    let setup = run(random, last, false);
    let mut host = Host::open(inputs, setup).unwrap();
    let readers = host.readers();
    for _ in 0..random.below(400) {
        host.poll(readers[random.below(readers.len())], 1 + random.below(20)).unwrap();
        if random.percent(5) {
            host.now += random.of(&[1, 10 * MILLI, 1000 * MILLI, 50 * SECOND]);
            streams.iter().for_each(|read| read.topic.set_now(host.now));
        }
    }
    if random.percent(30) {
        host.rest(20).unwrap();
    }
    host.want_checkpoint().unwrap();
    let kept = host.kept.take()?;
    let joined = (0..streams.len()).any(|stream| host.counts(stream).joined > 0);
    let rows = host.rows.iter().zip(&kept.rows).map(|(rows, &count)| sorted(rows[..count].to_vec())).collect();
    let has_read_history = |stream| has_read_history(&kept.state, stream).unwrap();
    let has_read = (0..streams.len()).all(has_read_history);
    (!joined && has_read).then_some((kept, rows))
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

/// The same streams, of which archives hold more or less now.
fn archived_since(random: &mut Random, streams: &[Read]) -> Vec<StreamInput> {
    let of = |read: &Read| {
        let counts: Vec<usize> = read.logs.iter().map(|log| random.below(log.len() + 1)).collect();
        input(random, &read.input.spec, &read.topic, &counts, &read.logs)
    };
    streams.iter().map(of).collect()
}

#[test]
fn what_was_read_is_read_again_and_nothing_after_it() {
    let (mut compared, mut unlike) = (0, 0);
    for seed in 0..600 {
        let mut random = Random(seed);
        let streams: Vec<Read> = (0..=random.below(2)).map(|n| stream(&mut random, &format!("t{n}"))).collect();
        let Some((kept, rows)) = checkpoint(&mut random, &streams) else { continue };
        let inputs = archived_since(&mut random, &streams);
        // A stream that has given no watermark is read again by no rule.
        if read_again(&inputs, &kept.state).unwrap().is_some() {
            unlike += 1;
            continue;
        }
        let now = streams[0].topic.now.load(std::sync::atomic::Ordering::SeqCst);
        let setup = run(&mut random, now, true);
        let mut host = Host::open_until(inputs, setup, &kept).unwrap();
        let readers = host.readers();
        for polls in 0.. {
            if host.is_finished() {
                break;
            }
            host.poll(readers[random.below(readers.len())], 1 + random.below(20)).unwrap();
            host.now += MILLI;
            assert!(polls < 60_000, "seed {seed}: held by {:?}", host.held_by());
        }
        let found: Vec<Vec<Row>> = host.rows.iter().map(|rows| sorted(rows.clone())).collect();
        for (found, rows) in found.iter().zip(&rows) {
            let odd: Vec<&Row> = found.iter().filter(|row| !rows.contains(row)).collect();
            let lost: Vec<&Row> = rows.iter().filter(|row| !found.contains(row)).collect();
            assert_eq!((found.len(), odd, lost), (rows.len(), vec![], vec![]), "seed {seed}");
        }
        assert_eq!(host.kept.as_ref().map(|kept| &kept.state.watermarks), Some(&kept.state.watermarks), "seed {seed}");
        let least = kept.state.watermarks.iter().min().copied();
        assert_eq!(Some(host.level), least, "seed {seed}");
        compared += usize::from(rows.iter().any(|rows| !rows.is_empty()));
    }
    assert!(compared > 250, "{compared} compared, {unlike} cannot be read again");
}

#[test]
fn what_cannot_be_read_again_is_told() {
    let mut random = Random(3);
    let (read, kept) = loop {
        let read = stream(&mut random, "t");
        let streams = [read];
        let found = checkpoint(&mut random, &streams);
        let [read] = streams;
        if let Some((kept, _)) = found
            && read_again(&[again(&read.input)], &kept.state).unwrap().is_none()
        {
            break (read, kept);
        }
    };
    let why = |input: StreamInput, state: &CoordinatorState| read_again(&[input], state).unwrap().unwrap_or_default();
    let none = CoordinatorState { watermarks: vec![EventTime::MIN], ..kept.state.clone() };
    assert!(why(again(&read.input), &none).contains("no watermark"));
    let other = Arc::new(MemoryTopic::new("other", read.logs.clone()));
    let made_again = input(&mut random, &read.input.spec, &other, &vec![0; read.logs.len()], &read.logs);
    assert!(why(made_again, &kept.state).contains("made again"));
    let shorter: Vec<Vec<Message>> = read.logs.iter().map(|log| log[..log.len().min(1)].to_vec()).collect();
    let cut = Arc::new(MemoryTopic::new("t", shorter.clone()));
    let ends_before = input(&mut random, &read.input.spec, &cut, &vec![0; shorter.len()], &shorter);
    assert!(why(ends_before, &kept.state).contains("before message"), "{:?}", kept.state);
    let without_topic = StreamInput { live: None, ..again(&read.input) };
    assert!(why(without_topic, &kept.state).contains("its topic is gone"));
}
