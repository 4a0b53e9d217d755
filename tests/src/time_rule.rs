//! The time rule once more, over a whole log at once; it shares nothing with the code that it judges.

use crate::machine::SECOND;

/// How long a stream is silent before its clock runs on, unless it says otherwise.
const QUIET: i64 = SECOND;

/// A message: the event time that it carries, and when it arrived, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The event time.
    pub event: i64,
    /// The arrival.
    pub arrival: i64,
}

/// The clock of a partition and the arrival of its last message.
#[derive(Clone, Copy, Debug)]
struct Clock {
    at: i64,
    arrival: i64,
}

impl Clock {
    /// Run on through the silence before a moment.
    fn run_on(self, moment: i64) -> i64 {
        let silence = moment - self.arrival - QUIET;
        self.at.max((self.at + silence).min(moment - QUIET))
    }

    /// When it gets to a time, if no message comes.
    fn reaches(self, time: i64) -> i64 {
        if self.at >= time { self.arrival } else { (self.arrival + QUIET + time - self.at).max(time + QUIET) }
    }
}

/// The messages of a partition in the sequence of its log.
#[derive(Clone, Debug)]
pub struct PartitionTimes {
    delay: i64,
    /// `_time` of each row.
    pub times: Vec<i64>,
    /// The arrival of each.
    pub arrivals: Vec<i64>,
    // After each message; they never go back.
    clocks: Vec<Clock>,
}

impl PartitionTimes {
    /// The times of a log whose stream declares a delay.
    pub fn new(stamps: &[Stamp], delay: i64) -> PartitionTimes {
        let (mut times, mut clocks) = (Vec::new(), Vec::<Clock>::new());
        for stamp in stamps {
            let before = clocks.last().map(|clock| clock.run_on(stamp.arrival));
            times.push(before.map_or(stamp.event, |before| stamp.event.max(before - delay)));
            let ahead_of_nobody = stamp.event.min(stamp.arrival);
            let at = before.map_or(ahead_of_nobody, |before| before.max(ahead_of_nobody));
            clocks.push(Clock { at, arrival: stamp.arrival });
        }
        PartitionTimes { delay, times, arrivals: stamps.iter().map(|stamp| stamp.arrival).collect(), clocks }
    }

    /// The first message that shows that nothing at or before a time can come any more, by its place in the log.
    pub fn passed_by_message(&self, time: i64) -> Option<usize> {
        let first = self.first_beyond(time);
        (first < self.clocks.len()).then_some(first)
    }

    /// The moment from which on silence shows the same, if the message that does had not come; `None` where there is no
    /// message before that one.
    pub fn passed_by_silence(&self, time: i64) -> Option<i64> {
        let before = self.first_beyond(time).checked_sub(1)?;
        Some(self.clocks[before].reaches(self.needed(time)))
    }

    fn needed(&self, time: i64) -> i64 {
        time + self.delay + 1
    }

    fn first_beyond(&self, time: i64) -> usize {
        self.clocks.partition_point(|clock| clock.at < self.needed(time))
    }

    /// The moment from which on nothing at or before a time can come; `None` where there is no message.
    fn passes(&self, time: i64) -> Option<i64> {
        let by_message = self.passed_by_message(time).map(|message| self.arrivals[message]);
        by_message.into_iter().chain(self.passed_by_silence(time)).min()
    }
}

/// The moment at which a row of a time has to come out where these partitions reach it. One without messages holds
/// nobody.
pub fn due(partitions: &[&PartitionTimes], time: i64) -> i64 {
    partitions.iter().filter_map(|times| times.passes(time)).max().expect("the row itself is in a partition")
}

/// A partition as it was really written: when each of its messages was there, and what the clock showed then by which
/// they arrive. That may be the clock of one broker after the other, or of producers.
#[derive(Clone, Debug)]
pub struct RealPartition {
    /// The rule over its log.
    pub times: PartitionTimes,
    /// The moment at which each message was there.
    pub there: Vec<i64>,
    /// From moments on, ascending: by how much the clock is ahead.
    pub ahead: Vec<(i64, i64)>,
}

impl RealPartition {
    /// The moment from which on nothing at or before a time can come; silence shows that a margin later.
    fn passes(&self, time: i64, margin: i64) -> Option<i64> {
        let by_message = self.times.passed_by_message(time).map(|message| self.there[message]);
        let last = self.times.first_beyond(time).checked_sub(1).map(|last| self.there[last]);
        let by_silence = self.times.passed_by_silence(time).zip(last);
        let by_silence = by_silence.map(|(shown, since)| self.shows(shown + margin, since));
        by_message.into_iter().chain(by_silence).min()
    }

    /// The first moment since another one at which the clock shows a time, or a later one.
    fn shows(&self, time: i64, since: i64) -> i64 {
        let ends = self.ahead.iter().skip(1).map(|(from, _)| *from).chain([i64::MAX]);
        let moments = self.ahead.iter().zip(ends).map(|(&(from, ahead), end)| (from.max(time - ahead).max(since), end));
        moments.filter(|(moment, end)| moment < end).map(|(moment, _)| moment).min().unwrap_or(i64::MAX)
    }
}

/// The moment at which a row of a time has to come out where clocks differ, and silence counts for less by a margin.
pub fn due_by_clocks(partitions: &[RealPartition], time: i64, margin: i64) -> i64 {
    partitions.iter().filter_map(|times| times.passes(time, margin)).max().expect("the row itself is in a partition")
}

#[test]
fn silence_is_counted_by_the_clock_that_a_partition_has_then() {
    let stamp = |event: i64, arrival: i64| Stamp { event: event * SECOND, arrival: arrival * SECOND };
    let of = |ahead: &[(i64, i64)]| RealPartition {
        times: PartitionTimes::new(&[stamp(5, 5)], 0),
        there: vec![5 * SECOND],
        ahead: ahead.iter().map(|&(from, ahead)| (from * SECOND, ahead * SECOND)).collect(),
    };
    let due = |partition: RealPartition| due_by_clocks(&[partition], 10 * SECOND, 0);
    assert_eq!(due(of(&[(0, 0)])), 11 * SECOND + 1);
    // The topic goes to a broker whose clock is behind, after 8 s; to one that is ahead; and when all was said.
    assert_eq!(due(of(&[(0, 0), (8, -3)])), 14 * SECOND + 1);
    assert_eq!(due(of(&[(0, 0), (8, 5)])), 8 * SECOND);
    assert_eq!(due(of(&[(0, 0), (12, -3)])), 11 * SECOND + 1);
}

#[test]
fn a_row_waits_for_the_delay_and_for_silence() {
    let times = |stamps: &[(i64, i64)], delay| {
        let stamp = |&(event, arrival)| Stamp { event: event * SECOND, arrival: arrival * SECOND };
        PartitionTimes::new(&stamps.iter().map(stamp).collect::<Vec<_>>(), delay * SECOND)
    };
    let busy = times(&[(10, 10), (11, 11), (12, 12), (13, 13)], 2);
    // The clock has to be a microsecond further: what the message at 12 shows does not do.
    assert_eq!(due(&[&busy], 10 * SECOND), 13 * SECOND);
    assert_eq!(due(&[&busy], 11 * SECOND), 14 * SECOND + 1);
    let silent = times(&[(5, 5)], 1);
    assert_eq!(due(&[&silent], 10 * SECOND), 12 * SECOND + 1);
    assert_eq!(due(&[&busy, &silent], 10 * SECOND), 13 * SECOND);
    assert_eq!(due(&[&busy, &times(&[], 9)], 10 * SECOND), 13 * SECOND);
    // A message from the future moves nobody, and one from the past waits for its own successors.
    assert_eq!(due(&[&times(&[(10, 10), (99, 11)], 2)], 10 * SECOND), 13 * SECOND + 1);
    let past = times(&[(10, 100), (11, 101), (12, 102), (14, 103)], 2);
    assert_eq!(due(&[&past], 10 * SECOND), 103 * SECOND);
    assert_eq!(times(&[(10, 10), (5, 10), (9, 10)], 2).times, [10 * SECOND, 8 * SECOND, 9 * SECOND]);
}
