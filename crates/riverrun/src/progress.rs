//! A running job on the terminal: a bar over history, then one line of what is live. Plain lines when piped.

use crate::clock::{Stopwatch, SystemClock};
use crate::print;
use crate::show;
use dataflow::{Clock, ProcessingTime};
use engine::{Backlog, Status};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use seam::StreamStats;
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

/// How often a line is printed when stderr is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Rows that wait for an output are told of when they are so many bytes.
const WAITING_BYTES: usize = 1 << 20;
/// An output that takes nothing for so long is told of, however little waits.
const STANDS_SECONDS: i64 = 3;

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
}

impl Progress {
    /// Starts with the history of all streams ahead.
    pub fn start(stats: &[Arc<StreamStats>]) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let total = stats.iter().map(|stream| stream.history_total).sum();
        let bar = ProgressBar::with_draw_target(
            Some(total),
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        bar.set_style(style("history [{bar:32}] {human_pos}/{human_len} rows  {rate} rows/s  {eta} left  {msg}"));
        Progress {
            stats: stats.to_vec(),
            bar,
            watch: Stopwatch::start(),
            terminal,
            due: PLAIN_EVERY,
            in_history: true,
            told: Vec::new(),
        }
    }

    /// Shows the state now.
    pub fn tick(&mut self, status: &Status) {
        let counts: Vec<_> = self.stats.iter().map(|stream| stream.counts()).collect();
        let history = counts.iter().map(|one| one.history_rows).sum::<u64>();
        let live = counts.iter().map(|one| one.live_rows).sum::<u64>();
        let watermark = status.held_by().map_or(String::new(), |(stream, at)| format!("watermark {at} ({stream})"));
        let in_history = counts.iter().any(|one| one.in_history);
        if self.in_history && !in_history {
            self.bar.set_style(style("{spinner} {msg}"));
        }
        self.in_history = in_history;
        let message = if in_history {
            watermark
        } else {
            let (read, written) = (show::count(live as i64), show::count(status.rows_out()));
            format!("live: {read} rows read, {written} written, {watermark}")
        };
        let message = format!("{message}{}", waiting(status, SystemClock.now()));
        self.tell(status.notes().all());
        self.bar.set_position(history);
        self.bar.set_message(message.clone());
        if !in_history {
            self.bar.tick();
        }
        if !self.terminal && self.watch.elapsed() >= self.due {
            self.due = self.watch.elapsed() + PLAIN_EVERY;
            let side =
                if in_history { format!("history: {} rows, ", show::count(history as i64)) } else { String::new() };
            print::note(format_args!("{side}{message}"));
        }
    }

    /// Prints a line beside the bar.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| print::note(format_args!("{line}")));
    }

    /// Says once what outputs have to wait for.
    fn tell(&mut self, notes: Vec<String>) {
        for note in notes.iter().filter(|note| !self.told.contains(note)) {
            self.say(note);
        }
        self.told = notes;
    }

    /// Takes the bar away and tells how long it all took.
    pub fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.watch.elapsed()
    }
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
        format!("; {} wait for {output}{disk}{stands}", show::bytes(waiting.memory_bytes + waiting.spilled_bytes))
    });
    all.collect()
}

fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        // A bar that cannot be written is not worth an error.
        let _ = out.write_str(&show::count(state.per_sec() as i64));
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", rate).progress_chars("=> ")
}
