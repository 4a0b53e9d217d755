//! A running job on the terminal: a bar over history, then what is live, in two lines. Plain lines when piped.

use crate::clock::{Stopwatch, SystemClock};
use crate::color;
use crate::print;
use crate::show;
use dataflow::{Clock, EventTime, ProcessingTime};
use engine::{Backlog, Status};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use project::{ClusterWait, Project};
use seam::{PartitionState, StreamStats};
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a line is printed when stderr is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// How often what moves on a terminal is drawn.
const TICK: Duration = Duration::from_millis(100);
/// Rows that wait for an output are told of when they are so many bytes.
const WAITING_BYTES: usize = 1 << 20;
/// An output that takes nothing for so long is told of, however little waits.
const STANDS_SECONDS: i64 = 3;
/// A stream that stands for so long while others go on is told of.
const HELD_AFTER: Duration = Duration::from_secs(10);
/// Until then nobody knows how long it will take.
const ESTIMATE_AFTER: Duration = Duration::from_secs(1);

/// A line that moves on the terminal while a command works, until it is dropped.
pub struct Spinner(ProgressBar);

impl Spinner {
    /// Says what the command does, and since when if that is long.
    pub fn start(doing: &'static str) -> Spinner {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
            .with_style(style("{spinner} {prefix}{took}  {wide_msg}"))
            .with_prefix(doing);
        bar.enable_steady_tick(TICK);
        print::moving(Some(&bar));
        Spinner(bar)
    }

    /// Says how far it is.
    pub fn show(&self, message: String) {
        self.0.set_message(message);
    }

    /// Says how far a history is read for the arrivals of its rows.
    pub fn show_arrivals(&self, project: &Project) {
        let (bar, watch, terminal) = (self.0.clone(), Stopwatch::start(), std::io::stderr().is_terminal());
        let due = Mutex::new(PLAIN_EVERY);
        project.tell_arrivals(move |stream, rows| {
            let message = format!("arrivals of {stream}: {} rows", show::count(rows as i64));
            let mut due = due.lock().unwrap_or_else(PoisonError::into_inner);
            if !terminal && watch.elapsed() >= *due {
                *due = watch.elapsed() + PLAIN_EVERY;
                print::note(format_args!("{message}"));
            }
            bar.set_message(message);
        });
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        print::moving(None);
    }
}

/// Shows how far the streams of a job have been read.
pub struct Progress {
    stats: Vec<Arc<StreamStats>>,
    bar: ProgressBar,
    watch: Stopwatch,
    terminal: bool,
    // When the next plain line is due.
    due: Duration,
    in_history: bool,
    // The notes that were said and still hold.
    told: Vec<String>,
    // The stream that the others wait for, where it stands, and since when.
    held: Option<(String, EventTime, Duration)>,
    // Whether it was said that a cluster of topics is away.
    is_away: bool,
}

impl Progress {
    /// Starts with the history of all streams ahead.
    pub fn start(stats: &[Arc<StreamStats>]) -> Progress {
        let total = stats.iter().map(|stream| stream.history_total).sum();
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let filled = if color::is_on_err() { "\x1b[36m{wide_bar}\x1b[0m" } else { "{wide_bar}" };
        let history = format!("{{spinner}} history [{filled}] {{human_pos}}/{{human_len}} rows  {{rate}}/s{{left}}");
        bar.set_style(style(&format!("{history}\n  {{wide_msg}}")));
        bar.enable_steady_tick(TICK);
        print::moving(Some(&bar));
        Progress {
            stats: stats.to_vec(),
            bar,
            watch: Stopwatch::start(),
            terminal: std::io::stderr().is_terminal(),
            due: PLAIN_EVERY,
            in_history: true,
            told: Vec::new(),
            held: None,
            is_away: false,
        }
    }

    /// Shows the state now.
    pub fn tick(&mut self, status: &Status) {
        let counts: Vec<_> = self.stats.iter().map(|stream| stream.counts()).collect();
        let history = counts.iter().map(|one| one.history_rows).sum::<u64>();
        let live = counts.iter().map(|one| one.live_rows).sum::<u64>();
        let watermark = match status.held_by() {
            Some((stream, at)) => {
                let stands = self.stands(&stream, at);
                held(
                    (stream.as_str(), self.waits_for_messages(&stream)),
                    at,
                    stands,
                    counts.iter().map(|one| one.watermark),
                )
            }
            None if counts.iter().all(|one| one.watermark == EventTime::MAX) => "all inputs are read".to_owned(),
            None => "no watermark yet".to_owned(),
        };
        let in_history = counts.iter().any(|one| one.in_history);
        if self.in_history && !in_history {
            self.bar.set_style(style("{spinner} {prefix}\n  {wide_msg}"));
        }
        self.in_history = in_history;
        let (rows, written) = (|count: u64| show::count(count as i64), show::count(status.rows_out()));
        let read = match (in_history, live) {
            (true, _) => format!("history: {} rows", rows(history)),
            (false, 0) if history > 0 => format!("history: all {} rows, {written} written", rows(history)),
            (false, _) => format!("live: {} rows read, {written} written", rows(live)),
        };
        let wait = project::cluster_wait();
        let message = format!("{watermark}{}{}", waiting(status, SystemClock.now()), away(wait.as_ref()));
        self.tell_of_cluster(wait.as_ref());
        self.tell(status.notes().all());
        if !self.terminal && self.watch.elapsed() >= self.due {
            self.due = self.watch.elapsed() + PLAIN_EVERY;
            print::note(format_args!("{read}, {message}"));
        }
        self.bar.set_position(history);
        self.bar.set_prefix(read);
        self.bar.set_message(message);
    }

    /// For how long a stream has stood where it is.
    fn stands(&mut self, stream: &str, at: EventTime) -> Duration {
        let now = self.watch.elapsed();
        match &self.held {
            Some((known, stood, since)) if known == stream && *stood == at => now.saturating_sub(*since),
            _ => {
                self.held = Some((stream.to_owned(), at, now));
                Duration::ZERO
            }
        }
    }

    /// Whether all that a stream has of messages was read and given out, so that only another one moves it on.
    fn waits_for_messages(&self, stream: &str) -> bool {
        let stats = self.stats.iter().find(|stats| stats.name == stream);
        stats.is_some_and(|stats| {
            let mut waited_for = stats.standings().into_iter().filter(|one| one.counts).peekable();
            let is_read = |state| matches!(state, PartitionState::Silent | PartitionState::Quiet);
            waited_for.peek().is_some() && waited_for.all(|one| is_read(one.state))
        })
    }

    /// Says when a cluster of topics has gone away, and when it is back.
    fn tell_of_cluster(&mut self, wait: Option<&ClusterWait>) {
        match (wait, self.is_away) {
            (Some(ClusterWait { why, .. }), false) => {
                print::note(format_args!("{why}; the job waits for it, and tries again every 10 s at most"));
            }
            (None, true) => print::note(format_args!("what the job waited for is there again")),
            _ => {}
        }
        self.is_away = wait.is_some();
    }

    /// Says once what outputs have to wait for.
    fn tell(&mut self, notes: Vec<String>) {
        for note in notes.iter().filter(|note| !self.told.contains(note)) {
            print::note(format_args!("{note}"));
        }
        self.told = notes;
    }

    /// Takes the bar away and tells how long it all took.
    pub fn finish(self) -> Duration {
        self.watch.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        print::moving(None);
    }
}

/// Where the watermark is and whose it is; where it has stood for a while, whether its stream waits for messages, and how far
/// the furthest of the others has come.
fn held(
    (stream, waits): (&str, bool),
    at: EventTime,
    stands: Duration,
    others: impl Iterator<Item = EventTime>,
) -> String {
    let shown = show::to_the_second(at);
    if stands < HELD_AFTER {
        return format!("watermark {shown} ({stream})");
    }
    let (took, furthest) =
        (show::whole_seconds(stands), others.filter(|other| *other != EventTime::MAX && *other > at).max());
    match (furthest.map(show::to_the_second).filter(|furthest| *furthest != shown), waits) {
        (Some(furthest), true) => format!(
            "held at {shown} by {stream}, which is quiet and has waited for messages for {took}; the furthest is at {furthest}"
        ),
        (Some(furthest), false) => format!("held at {shown} by {stream} for {took}; the furthest is at {furthest}"),
        (None, true) => format!("watermark {shown} ({stream}, quiet: it has waited for messages for {took})"),
        (None, false) => format!("watermark {shown} ({stream})"),
    }
}

/// For how long a cluster of topics has been waited for.
fn away(wait: Option<&ClusterWait>) -> String {
    wait.map_or_else(String::new, |wait| format!("; has waited for its topics for {}", show::whole_seconds(wait.since)))
}

/// The outputs that do not take rows as fast as they come, and what waits for them.
fn waiting(status: &Status, now: ProcessingTime) -> String {
    let stands = |waiting: &Backlog| waiting.busy_since.map_or(0, |since| now.0.saturating_sub(since.0) / 1_000_000);
    let worth_telling = |waiting: &Backlog| {
        waiting.memory_bytes + waiting.spilled_bytes >= WAITING_BYTES || stands(waiting) >= STANDS_SECONDS
    };
    let all = status.waiting().into_iter().filter(|(_, waiting)| worth_telling(waiting)).map(|(output, waiting)| {
        let disk = match waiting.spilled_bytes {
            0 => String::new(),
            bytes => format!(", {} on disk", show::bytes(bytes)),
        };
        let stands = match stands(&waiting) {
            seconds if seconds >= STANDS_SECONDS => format!(", which has taken nothing for {seconds} s"),
            _ => String::new(),
        };
        // Nodes of outputs are called `into NAME`.
        let name = output.strip_prefix("into ").unwrap_or(&output);
        let bytes = waiting.memory_bytes + waiting.spilled_bytes;
        if bytes == 0 {
            // What came before is being written.
            return format!("; {name}{}", stands.trim_start_matches(", which"));
        }
        format!("; {} wait for {name}{disk}{stands}", show::bytes(bytes))
    });
    all.collect()
}

/// How long the rest takes if it goes on as it went so far.
fn estimate(done: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    if elapsed < ESTIMATE_AFTER || done == 0 || done >= total {
        return None;
    }
    let seconds = elapsed.as_secs_f64() * (total - done) as f64 / done as f64;
    // A second is the least that is worth telling.
    Some(Duration::from_secs(seconds.ceil().min(1e9) as u64))
}

/// A style with the keys `rate`, `left` and `took`. A bar that cannot be written is not worth an error.
fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        let _ = out.write_str(&show::count(state.per_sec() as i64));
    };
    let left = |state: &ProgressState, out: &mut dyn Write| {
        if let Some(left) = estimate(state.pos(), state.len().unwrap_or(0), state.elapsed()) {
            let _ = write!(out, "  {} left", show::whole_seconds(left));
        }
    };
    let took = |state: &ProgressState, out: &mut dyn Write| {
        if state.elapsed() >= ESTIMATE_AFTER {
            let _ = write!(out, "  {}", show::whole_seconds(state.elapsed()));
        }
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", rate).with_key("left", left).with_key("took", took).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_others_wait_for_is_told_of_after_a_while() {
        let minutes = |minutes: i64| EventTime(minutes * 60_000_000);
        let all = |waits, seconds, others: &[EventTime]| {
            held(("cards", waits), minutes(3), Duration::from_secs(seconds), others.iter().copied())
        };
        let of = |seconds, others: &[EventTime]| all(false, seconds, others);
        let plain = "watermark 1970-01-01 00:03:00 (cards)";
        assert_eq!(of(9, &[minutes(3), minutes(75)]), plain);
        assert_eq!(of(60, &[minutes(3), EventTime::MAX, minutes(1)]), plain);
        assert_eq!(
            of(12, &[minutes(3), minutes(75), minutes(70)]),
            "held at 1970-01-01 00:03:00 by cards for 12 s; the furthest is at 1970-01-01 01:15:00"
        );
        // What waits for messages does not stand still for another reason.
        assert_eq!(all(true, 9, &[minutes(75)]), plain);
        let quiet = "watermark 1970-01-01 00:03:00 (cards, quiet: it has waited for messages for 12 s)";
        assert_eq!(all(true, 12, &[minutes(3)]), quiet);
        // Nobody can see what is less than a second.
        assert_eq!(all(true, 12, &[EventTime(minutes(3).0 + 999_999)]), quiet);
        assert_eq!(
            all(true, 12, &[minutes(75)]),
            "held at 1970-01-01 00:03:00 by cards, which is quiet and has waited for messages for 12 s; the furthest is at \
             1970-01-01 01:15:00"
        );
    }

    #[test]
    fn nothing_is_estimated_from_nothing() {
        let seconds = Duration::from_secs;
        assert_eq!(estimate(0, 1_000, seconds(5)), None);
        assert_eq!(estimate(500, 1_000, Duration::from_millis(900)), None);
        assert_eq!(estimate(250, 1_000, seconds(5)), Some(seconds(15)));
        assert_eq!(estimate(999, 1_000, seconds(1)), Some(seconds(1)));
        assert_eq!(estimate(1_000, 1_000, seconds(5)), None);
    }
}
