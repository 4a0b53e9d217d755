//! A running job on the terminal: a bar over history, then one line of what is live. Plain lines when piped.

use crate::clock::Stopwatch;
use crate::show;
use dataflow::EventTime;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use seam::StreamStats;
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

/// How often a line is printed when stderr is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Shows how far the streams of a job have been read.
pub struct Progress {
    stats: Vec<Arc<StreamStats>>,
    bar: ProgressBar,
    watch: Stopwatch,
    terminal: bool,
    // When the next plain line is due.
    due: Duration,
    in_history: bool,
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
        Progress { stats: stats.to_vec(), bar, watch: Stopwatch::start(), terminal, due: PLAIN_EVERY, in_history: true }
    }

    /// Shows the state now.
    pub fn tick(&mut self, held_by: Option<(String, EventTime)>, rows_out: i64) {
        let counts: Vec<_> = self.stats.iter().map(|stream| stream.counts()).collect();
        let history = counts.iter().map(|one| one.history_rows).sum::<u64>();
        let live = counts.iter().map(|one| one.live_rows).sum::<u64>();
        let watermark = held_by.map_or(String::new(), |(stream, at)| format!("watermark {at} ({stream})"));
        let in_history = counts.iter().any(|one| one.in_history);
        if self.in_history && !in_history {
            self.bar.set_style(style("{spinner} {msg}"));
        }
        self.in_history = in_history;
        let message = if in_history {
            watermark
        } else {
            format!("live: {} rows read, {} written, {watermark}", show::count(live as i64), show::count(rows_out))
        };
        self.bar.set_position(history);
        self.bar.set_message(message.clone());
        if !in_history {
            self.bar.tick();
        }
        if !self.terminal && self.watch.elapsed() >= self.due {
            self.due = self.watch.elapsed() + PLAIN_EVERY;
            let side =
                if in_history { format!("history: {} rows, ", show::count(history as i64)) } else { String::new() };
            eprintln!("{side}{message}");
        }
    }

    /// Takes the bar away and tells how long it all took.
    pub fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.watch.elapsed()
    }
}

fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        // A bar that cannot be written is not worth an error.
        let _ = out.write_str(&show::count(state.per_sec() as i64));
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", rate).progress_chars("=> ")
}
