//! What the bench on Pulsar found, for people and as JSON.

use super::case::{Outcome, Rule, WARM_UP_MS, WARM_UP_RATE, WORKERS};
use super::interval::{Median, Verdict};
use super::{Compared, Pulsar};
use serde_json::{Value, json};

/// The bars: how many milliseconds later the median may be, how many times as late the 99th percentile, and how many
/// times the CPU of the official reader ours may take.
const P50_LATER_MS: f64 = 2.0;
const P99_RATIO: f64 = 1.3;
const READER_RATIO: f64 = 1.0;
/// So many pairs are a measurement.
const PAIRS_MIN: usize = 9;

/// A figure over all pairs, and its bar.
struct Figure {
    what: String,
    median: Median,
    bar: f64,
    unit: &'static str,
}

impl Figure {
    fn verdict(&self) -> Verdict {
        self.median.at_most(self.bar)
    }

    fn text(&self) -> String {
        let Figure { what, median, bar, unit } = self;
        let interval = median.interval.map_or("-".to_owned(), |(low, high)| format!("{low:.2} to {high:.2}"));
        format!(
            "{:<30} {what}: median {:.2}{unit}, interval {interval}, at most {bar}{unit}",
            self.verdict().text(),
            median.found
        )
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what, "median": number(self.median.found), "at_most": self.bar,
            "interval": self.median.interval.map(|(low, high)| [number(low), number(high)]),
            "verdict": self.verdict().text(),
        })
    }
}

/// A number as JSON has it, which knows none that is infinite.
fn number(number: f64) -> Value {
    if number.is_finite() { json!(number) } else { json!("never") }
}

/// A figure of each pair, ours and the loop's. What never came is later than anything.
fn paired(compared: &Compared, figure: impl Fn(&Outcome, &Outcome) -> f64) -> Median {
    let figures = compared.pairs.iter().map(|pair| figure(&pair.riverrun, &pair.java));
    Median::of(&figures.map(|figure| if figure.is_nan() { f64::INFINITY } else { figure }).collect::<Vec<_>>())
}

fn name(compared: &Compared) -> String {
    let rule = match compared.case.rule {
        Rule::OnePartition => "(a) stateless decision, 1 partition",
        Rule::Stateless => "(a) stateless decision, 4 partitions",
        Rule::Window => "(b) trailing window, delay 0, 4 partitions",
        Rule::AsOf => "(c) as-of join, a row a minute",
    };
    format!("{rule}, {}/s", compared.case.rate)
}

fn figures(pulsar: &Pulsar) -> Vec<Figure> {
    let of_case = |compared: &Compared| {
        let figure =
            |what: &str, median, bar, unit| Figure { what: format!("{}, {what}", name(compared)), median, bar, unit };
        let later = paired(compared, |ours, java| ours.ms(500) - java.ms(500));
        let ratio = paired(compared, |ours, java| ours.ms(990) / java.ms(990));
        [
            figure("p50 later than the loop's", later, P50_LATER_MS, " ms"),
            figure("p99 against the loop's", ratio, P99_RATIO, "x"),
        ]
    };
    let mut figures: Vec<Figure> = pulsar.cases.iter().flat_map(of_case).collect();
    figures.extend(pulsar.backlog.as_ref().map(|backlog| Figure {
        what: format!("CPU a message of a backlog of {}, our reader against Java's", backlog.messages),
        median: backlog.ratio(),
        bar: READER_RATIO,
        unit: "x",
    }));
    figures
}

/// Whether no figure is surely over its bar.
pub fn bars_are_met(pulsar: &Pulsar) -> bool {
    figures(pulsar).iter().all(|figure| figure.verdict() != Verdict::Missed)
}

/// The line of one run.
pub fn line(outcome: &Outcome) -> String {
    let wrong = match (outcome.missing, outcome.twice) {
        (0, 0) => String::new(),
        (missing, twice) => format!(", {missing} NEVER CAME, {twice} CAME TWICE"),
    };
    format!(
        "p50 {:.2} ms, p99 {:.2} ms, the rule of time holds back for {:.2} ms, {:.1} us of CPU a message{wrong}",
        outcome.ms(500),
        outcome.ms(990),
        outcome.held_ms,
        outcome.cpu_us_per_message
    )
}

fn row(compared: &Compared) -> String {
    let of = |figure: &dyn Fn(&Outcome) -> f64| {
        let each = |ours: bool| {
            let found = compared.pairs.iter().map(|pair| figure(if ours { &pair.riverrun } else { &pair.java }));
            Median::of(&found.collect::<Vec<_>>()).found
        };
        format!("{:>10.2}{:>10.2}", each(true), each(false))
    };
    let held = Median::of(&compared.pairs.iter().map(|pair| pair.riverrun.held_ms).collect::<Vec<_>>()).found;
    let ratio = paired(compared, |ours, java| ours.ms(500) / java.ms(500));
    let interval = ratio.interval.map_or("-".to_owned(), |(low, high)| format!("{low:.2}-{high:.2}"));
    format!(
        "{:<54}{}{}{}{held:>10.2}{:>8.2} {interval:>12}",
        name(compared),
        of(&|outcome| outcome.ms(500)),
        of(&|outcome| outcome.ms(990)),
        of(&|outcome| outcome.cpu_us_per_message),
        ratio.found
    )
}

/// What the figures were measured with.
fn settings(pulsar: &Pulsar) -> Vec<String> {
    let fairest = pulsar.fairest.iter().map(|(rate, batch_ms, tried)| {
        let tried: Vec<String> =
            tried.iter().map(|(batch, outcome)| format!("{}: {}", batching(*batch), line(outcome))).collect();
        format!(
            "  the loop's actions at {rate}/s: {}, the better of two tries ({})",
            batching(*batch_ms),
            tried.join("; ")
        )
    });
    let mut lines = vec![
        format!(
            "\nPulsar {}, {} pairs in random order: milliseconds from a message to its action at a consumer, medians of runs",
            connector_pulsar::standalone::VERSION, pulsar.pairs
        ),
        "  (b) and (c) of riverrun count from when the rule of time lets the message go: when the message that lets it go \
         was sent,\n  or when the quiet time and the margin of 250 ms of a silent partition are over. (a) has the wait for the rule in it;\n  held is how long the rule holds a message back, p50. The loop waits for no rule."
            .to_owned(),
        format!(
            "  broker: one, standalone, on this machine, low-latency settings, deduplication on. Messages of some 110 bytes: \
             4 partitions\n  or 1, batches of 1 ms, one producer each in one process that also reads the actions, the same for both"
        ),
        format!(
            "  riverrun: {WORKERS} workers, commit_every 60s, checkpoint_every 10s. Loop: the official client, exclusive \
             consumer,\n  receiver queue 1000, each message acknowledged when its action is stored, JVM's own collector, -Xmx512m"
        ),
        format!(
            "  warm-up of each run: {WARM_UP_MS} ms at {WARM_UP_RATE}/s and 1 s at the rate; measured: {} s; intervals: sign \
             test, 95 %",
            f64::from(pulsar.measured_ms) / 1e3
        ),
    ];
    lines.extend(fairest);
    lines
}

fn batching(batch_ms: u32) -> String {
    if batch_ms == 0 { "no batches".to_owned() } else { format!("batches of {batch_ms} ms") }
}

/// The summary table.
pub fn text(pulsar: &Pulsar) -> String {
    let mut lines = settings(pulsar);
    let heads = ["p50 ours", "loop", "p99 ours", "loop", "CPU us", "loop", "held ms"];
    let heads: String = heads.iter().map(|head| format!("{head:>10}")).collect();
    lines.push(format!("{:<54}{heads}{:>8} {:>12}", "", "p50 x", "interval"));
    lines.extend(pulsar.cases.iter().map(row));
    if let Some(backlog) = &pulsar.backlog {
        let median = |figures: &[f64]| Median::of(figures).found;
        lines.push(format!(
            "backlog of {} messages, us of CPU each: our reader {:.2}, our job (start, decoding and commit too) {:.2}, \
             Java's reader {:.2}\n  (after a warm-up, receiver queue 1000; ours are whole processes)",
            backlog.messages,
            median(&backlog.reader),
            median(&backlog.job),
            median(&backlog.java)
        ));
    }
    lines.extend(figures(pulsar).iter().map(Figure::text));
    if pulsar.pairs < PAIRS_MIN {
        lines.push(format!("NO MEASUREMENT: {} pairs, which has to be {PAIRS_MIN} or more", pulsar.pairs));
    }
    lines.join("\n")
}

/// The same as JSON.
pub fn json(pulsar: &Pulsar) -> Value {
    let outcome = |outcome: &Outcome| {
        json!({
            "p50_ms": number(outcome.ms(500)), "p99_ms": number(outcome.ms(990)),
            "messages": outcome.beyond.len(), "missing": outcome.missing, "twice": outcome.twice,
            "cpu_us_per_message": outcome.cpu_us_per_message, "held_p50_ms": outcome.held_ms,
        })
    };
    let case = |compared: &Compared| {
        let pairs = compared.pairs.iter().map(|pair| {
            json!({
                "riverrun": outcome(&pair.riverrun), "java": outcome(&pair.java), "riverrun_first": pair.riverrun_first,
            })
        });
        json!({
            "rule": compared.case.rule.name(), "partitions": compared.case.rule.partitions(), "rate": compared.case.rate, "pairs": pairs.collect::<Vec<_>>(),
        })
    };
    json!({
        "settings": settings(pulsar),
        "cases": pulsar.cases.iter().map(case).collect::<Vec<_>>(),
        "fairest": pulsar.fairest.iter().map(|(rate, batch_ms, _)| json!({ "rate": rate, "batch_ms": batch_ms })).collect::<Vec<_>>(),
        "backlog": pulsar.backlog.as_ref().map(|backlog| json!({
            "messages": backlog.messages,
            "reader_cpu_us": backlog.reader, "job_cpu_us": backlog.job, "java_cpu_us": backlog.java,
        })),
        "figures": figures(pulsar).iter().map(Figure::json).collect::<Vec<_>>(),
    })
}
