//! What has to come out, by the time rule alone, and when it has to be there.

use crate::job::{FOREVER, Job, MILLI, WRITE, meet};
use crate::stage::{Entry, GROUPS, NEVER, Row, STEPS, Step};
use std::collections::BTreeSet;

/// How long the protocol may take beyond the rule: a leap of a watermark waits for others that begin. Where checkpoints
/// take longer, one that runs, that of a reader which joins, and that of another one which does so next may come before.
fn bound(job: &Job) -> i64 {
    (400 + 250 + 3 * (job.write - WRITE)) * MILLI
}

/// A partition: event time, arrival, key, and whether a filter lets the row pass.
pub type Log = Vec<(i64, i64, i64, bool)>;

/// The clock of a partition, and the arrival of its last row.
#[derive(Clone, Copy)]
pub struct Clock {
    pub clock: i64,
    arrival: i64,
}

impl Clock {
    /// The clock at an arrival: run on through silence.
    pub fn at(&self, arrival: i64, quiet: i64) -> i64 {
        self.clock.max((self.clock + arrival - self.arrival - quiet).min(arrival - quiet))
    }
}

/// The time of the next row, and the clock after it.
fn row(clock: Option<Clock>, event: i64, arrival: i64, delay: i64, quiet: i64) -> (i64, Clock) {
    let shown = event.min(arrival);
    let Some(clock) = clock else { return (event, Clock { clock: shown, arrival }) };
    let here = clock.at(arrival, quiet);
    (event.max(here - delay), Clock { clock: here.max(shown), arrival: clock.arrival.max(arrival) })
}

/// The clock after rows.
pub fn clock_after(log: &[(i64, i64, i64, bool)], delay: i64, quiet: i64) -> Option<Clock> {
    log.iter().fold(None, |clock, &(event, arrival, ..)| Some(row(clock, event, arrival, delay, quiet).1))
}

/// The watermark of a partition before each of its rows, when nothing but rows has moved it.
pub fn levels_before(log: &Log, delay: i64, quiet: i64) -> Vec<i64> {
    let level = |n: usize| clock_after(&log[..n], delay, quiet).map_or(NEVER, |clock| clock.clock - delay - 1);
    (0..log.len()).map(level).collect()
}

/// A row's arrival, when it shows, and the clock after it.
struct Mark {
    arrival: i64,
    shown: i64,
    clock: i64,
}

/// The rows of a stream, and per partition what every row does to the clock.
struct Truth {
    rows: Vec<Row>,
    marks: Vec<Vec<Mark>>,
}

fn truth(job: &Job, number: usize) -> Truth {
    let stream = &job.streams[number];
    let (mut rows, mut marks) = (Vec::new(), Vec::new());
    for (partition, log) in stream.logs.iter().enumerate() {
        let joins = job.joins.get(&(number, partition as u32));
        let (mut clock, mut of_rows): (Option<Clock>, _) = (None, Vec::new());
        for (n, &(event, arrival, key, good)) in log.iter().enumerate() {
            let joined = joins.and_then(|joins| joins.get(&n)).copied().flatten();
            if let Some(joined) = joined.filter(|&joined| clock.is_none_or(|clock| clock.clock < joined)) {
                clock = Some(Clock { clock: joined, arrival });
            }
            let (time, next) = row(clock, event, arrival, stream.delay, stream.quiet);
            clock = Some(next);
            rows.push(Row { time, order: (partition as u32, n as u64), key, good });
            let shown = stream.shown[partition][n];
            of_rows.push(Mark { arrival: next.arrival, shown, clock: next.clock });
        }
        marks.push(of_rows);
    }
    Truth { rows, marks }
}

struct Rule<'a> {
    job: &'a Job,
    truths: &'a [Truth],
    // After each crash, when what was published before it can have come out again.
    replayed: Vec<i64>,
}

impl Rule<'_> {
    /// The first moment at which the rule lets a watermark over these streams reach a level.
    fn time(&self, streams: &[usize], level: i64, start: i64) -> i64 {
        let mut time = start;
        loop {
            let before = time;
            let shows = |marks: &&Vec<Mark>| marks.first().is_some_and(|first| first.shown <= before + bound(self.job));
            let met = || streams.iter().copied().filter(|&stream| stream < self.truths.len());
            let absent = met().filter(|&stream| !self.truths[stream].marks.iter().any(|marks| shows(&marks)));
            let delay = absent.map(|stream| self.job.streams[stream].delay).max().unwrap_or(0);
            for stream in met() {
                for marks in self.truths[stream].marks.iter().filter(shows) {
                    time = time.max(self.partition(stream, marks, level, delay));
                }
            }
            if time == before {
                return time;
            }
        }
    }

    /// When a partition lets a level be reached, at least so far behind its clock.
    fn partition(&self, stream: usize, marks: &[Mark], level: i64, delay: i64) -> i64 {
        let stream = &self.job.streams[stream];
        let need = level.saturating_add(stream.delay.max(delay) + 1);
        for (n, &Mark { arrival, shown, clock }) in marks.iter().enumerate() {
            if clock >= need {
                return shown;
            }
            // Silence counts for as long as the next row has not arrived by the time up to which it is known.
            let silent = marks.get(n + 1).map_or(FOREVER, |next| next.shown.min(next.arrival + stream.margin));
            let drained = stream.margin + stream.quiet + need.max(need - clock + arrival);
            if drained <= silent {
                return drained.max(shown);
            }
        }
        FOREVER
    }

    /// The rule's moment, which is looked for again after a crash, and the protocol's time.
    fn allowed(&self, streams: &[usize], level: i64, start: i64) -> i64 {
        let mut time = self.time(streams, level, start);
        for (&(since, until), &replayed) in self.job.crashes.iter().zip(&self.replayed) {
            if time + bound(self.job) >= since {
                // A partition that had not joined does so when everything has come out again.
                let marks = || streams.iter().filter_map(|&stream| self.truths.get(stream)).flat_map(|of| &of.marks);
                let joins = marks().any(|of| of.first().is_some_and(|first| first.shown + bound(self.job) >= since));
                time = self.time(streams, level, time.max(if joins { replayed } else { until }));
            }
        }
        time + bound(self.job)
    }

    /// When everything that was published before a crash can have come out again after it.
    fn again(&self, (since, until): (i64, i64)) -> i64 {
        let before = self.job.published.entries.iter().flat_map(|(&(step, _), entries)| {
            let before = entries.values().filter(move |(_, published)| *published < since);
            before.map(move |((time, ..), _)| (STEPS[step], *time))
        });
        let again = before.map(|(step, time)| {
            let stream = step.inputs[0];
            let goes_on = self.time(meet(stream), time - self.job.window(stream), until);
            self.time(step.inputs, time, goes_on)
        });
        again.filter(|&time| time < FOREVER).max().unwrap_or(until)
    }
}

/// How many rows do not lie at their event times.
pub fn moved(job: &Job) -> usize {
    let of_stream = |number: usize| {
        let mut events: Vec<i64> = job.streams[number].logs.iter().flatten().map(|(event, ..)| *event).collect();
        let mut times: Vec<i64> = truth(job, number).rows.iter().map(|row| row.time).collect();
        events.sort_unstable();
        times.sort_unstable();
        events.iter().zip(&times).filter(|(event, time)| event != time).count()
    };
    (0..job.streams.len()).map(of_stream).sum()
}

/// Checks what was published.
pub fn compare(job: &Job) -> Result<crate::job::Figures, String> {
    let truths: Vec<Truth> = (0..job.streams.len()).map(|number| truth(job, number)).collect();
    let mut rule = Rule { job, truths: &truths, replayed: Vec::new() };
    rule.replayed = job.crashes.iter().map(|&crash| rule.again(crash)).collect();
    let mut figures = job.figures.clone();
    for (at, step) in STEPS.iter().enumerate().filter(|(_, step)| step.inputs[0] < job.streams.len()) {
        for group in 0..GROUPS {
            compare_group(&rule, at, step, group, &mut figures)?;
        }
    }
    check_asks(job, &truths, &mut figures)?;
    Ok(figures)
}

fn compare_group(
    rule: &Rule,
    at: usize,
    step: &Step,
    group: usize,
    figures: &mut crate::job::Figures,
) -> Result<(), String> {
    let (left, right) = (&rule.truths[step.inputs[0]].rows, &rule.truths[step.inputs[step.inputs.len() - 1]].rows);
    let mine = left.iter().filter(|row| row.key as usize % GROUPS == group && step.takes(row));
    let mut expected: Vec<Entry> = mine.map(|row| step.answer(row, left, right)).collect();
    expected.sort_unstable();
    let none = Default::default();
    let published = rule.job.published.entries.get(&(at, group)).unwrap_or(&none);
    let found: Vec<Entry> = published.values().map(|(entry, _)| *entry).collect();
    figures.rows += found.len();
    if found.len() < expected.len() {
        let missing = expected[found.len()];
        return Err(format!(
            "stand-still: operator {at}, group {group}: {} of {}, {missing:?}",
            found.len(),
            expected.len()
        ));
    }
    if found != expected {
        let first = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        return Err(format!("rows differ: operator {at}, group {group}: {first:?}"));
    }
    if !published.keys().copied().eq(0..expected.len()) {
        return Err(format!("exactly once: operator {at}, group {group}"));
    }
    for (entry, time) in published.values() {
        let shown = rule.job.streams[step.inputs[0]].shown[entry.1.0 as usize][entry.1.1 as usize];
        // A split that waits at its ceiling goes on when the streams that meet have come as far as the window lets it.
        let stream = step.inputs[0];
        let goes_on = rule.allowed(meet(stream), entry.0 - rule.job.window(stream), shown);
        let start = if step.inputs.len() == 1 { goes_on } else { shown };
        let allowed = rule.allowed(step.inputs, entry.0, start);
        figures.worst = figures.worst.max(time - (allowed - bound(rule.job)));
        if *time > allowed {
            let (time, allowed) = (time / MILLI, allowed / MILLI);
            return Err(format!("late: operator {at}, group {group}: {entry:?} at {time} ms, not by {allowed} ms"));
        }
    }
    Ok(())
}

/// B is asked four times at most for each time to reach, once for it and thrice further, and some times per start.
fn check_asks(job: &Job, truths: &[Truth], figures: &mut crate::job::Figures) -> Result<(), String> {
    for (number, stream) in job.streams.iter().enumerate() {
        for partition in 0..stream.logs.len() as u32 {
            let asked = stream.asks.iter().filter(|(of, _)| *of == partition).count();
            let mut dues = BTreeSet::new();
            for ((step, _), entries) in &job.published.entries {
                if STEPS[*step].inputs.contains(&number) {
                    dues.extend(entries.values().map(|(entry, _)| entry.0));
                }
            }
            let mut dues = dues.len();
            for other in meet(number).iter().filter(|&&other| other < truths.len()) {
                // Rows that wait, each of which may wait at a ceiling before.
                let rows = &truths[*other].rows;
                dues += rows.iter().map(|row| row.time).collect::<BTreeSet<_>>().len() + rows.len();
            }
            figures.asks += asked;
            if asked > 4 * (dues + job.crashes.len()) {
                return Err(format!("asks: stream {number}, partition {partition}: {asked} for {dues} times"));
            }
        }
    }
    Ok(())
}
