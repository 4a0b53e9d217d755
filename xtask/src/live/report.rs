//! What the live bench found, for people and as JSON.

use super::{Idle, Live, Measured, Rate, Rule};
use crate::report::Bar;
use serde_json::{Value, json};

/// Where the disk's sync is slower than the bars, the loop of the same run is the measure.
const FLOOR_RATIO: f64 = 1.5;
/// A backlog grows where the median of the last quarter is so much greater than that of the second.
const GROWTH_MAX_MS: f64 = 50.0;

fn rate(rate: Rate) -> String {
    match rate {
        Rate::PerSecond(rate) => rate.to_string(),
        Rate::Unbounded => "fastest".to_owned(),
    }
}

fn milliseconds(micros: i64) -> f64 {
    if micros == i64::MAX { f64::INFINITY } else { micros as f64 / 1000.0 }
}

fn shown(milliseconds: f64) -> String {
    if milliseconds.is_finite() { format!("{milliseconds:.2}") } else { "never".to_owned() }
}

/// A line of the table.
pub fn line(one: &Measured, floor: Option<&Measured>) -> String {
    let ranks = [500, 990, 999].map(|permille| format!("{:>9}", shown(milliseconds(one.beyond(permille)))));
    let ratio = floor.map(|floor| milliseconds(one.beyond(990)) / milliseconds(floor.beyond(990)));
    let half = one.memory.len() / 2;
    let mebibytes = |bytes: u64| bytes >> 20;
    let most = |part: &[u64]| mebibytes(part.iter().copied().max().unwrap_or_default());
    let wrong = match (one.missing, one.twice) {
        (0, 0) => String::new(),
        (missing, twice) => format!("  {missing} NEVER CAME, {twice} CAME TWICE"),
    };
    format!(
        "{:>8} {:<14}{:>7} {}{:>9}{:>10.1}{:>9}{:>12} {wrong}",
        rate(one.case.rate),
        one.case.rule.name(),
        if one.case.rule == Rule::Floor { "-".to_owned() } else { format!("{} s", one.case.delay_s) },
        ranks.join(""),
        ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
        one.cpu_us_per_event,
        one.events,
        format!("{}, {}", most(&one.memory[..half]), most(&one.memory[half..])),
    )
}

/// The summary table.
pub fn text(live: &Live) -> String {
    let heads = "    /s   rule            delay    p50 ms   p99 ms p99.9 ms   x loop  us/event   events  MiB, halves";
    let mut lines = vec![
        format!("\nLive, {} workers: from when the rule lets a row go to when its action is seen", live.workers),
        heads.to_owned(),
    ];
    lines.extend(live.cases.iter().map(|one| line(one, live.floor(one.case.rate))));
    let Idle { cpu_percent, switches, calls, memory } = &live.idle;
    let calls = calls.map_or("not counted, since strace is not there".to_owned(), |calls| format!("{calls:.0}/s"));
    lines.push(format!(
        "idle over four streams of four partitions: {cpu_percent:.2} % of a core, system calls {calls}, {switches:.0} of \
         them/s waited, {} MiB",
        memory >> 20
    ));
    lines.join("\n")
}

/// What has to hold.
pub fn bars(live: &Live) -> Vec<Bar> {
    let mut bars = Vec::new();
    let mut add = |what: String, found, most, unit| bars.push(Bar::at_most(what, found, most, unit));
    for one in live.cases.iter().filter(|one| one.case.rule != Rule::Floor) {
        let named = |what: &str| {
            format!("live, {}, delay {} s, {}/s, {what}", one.case.rule.name(), one.case.delay_s, rate(one.case.rate))
        };
        let floor = |permille| {
            let floor = live.floor(one.case.rate).map(|floor| milliseconds(floor.beyond(permille)));
            floor.filter(|floor| floor.is_finite()).unwrap_or_default() * FLOOR_RATIO
        };
        match one.case.rate {
            Rate::PerSecond(1_000) => {
                add(named("p50"), milliseconds(one.beyond(500)), floor(500).max(3.0), " ms");
                add(named("p99"), milliseconds(one.beyond(990)), floor(990).max(15.0), " ms");
            }
            Rate::PerSecond(20_000) => {
                let growth = if one.missing > 0 { f64::INFINITY } else { milliseconds(one.growth()) };
                add(named("growth of the backlog"), growth, GROWTH_MAX_MS, " ms");
            }
            Rate::PerSecond(_) | Rate::Unbounded => {}
        }
    }
    add("live, idle, CPU".to_owned(), live.idle.cpu_percent, 1.0, " % of a core");
    let calls = live.idle.calls.unwrap_or(live.idle.switches);
    add("live, idle, system calls".to_owned(), calls, 200.0, "/s");
    bars
}

/// The same as JSON.
pub fn json(live: &Live) -> Value {
    let case = |one: &Measured| {
        let beyond = |permille| {
            let found = milliseconds(one.beyond(permille));
            if found.is_finite() { json!(found) } else { json!("never") }
        };
        json!({
            "rule": one.case.rule.name(),
            "delay_s": one.case.delay_s,
            "rate": rate(one.case.rate),
            "events": one.events,
            "published_s": one.published_s,
            "missing": one.missing,
            "twice": one.twice,
            "p50_ms": beyond(500),
            "p99_ms": beyond(990),
            "p999_ms": beyond(999),
            "backlog_growth_us": one.growth(),
            "cpu_us_per_event": one.cpu_us_per_event,
            "memory_bytes": one.memory,
            "memory_peak_bytes": one.memory_peak,
        })
    };
    let Idle { cpu_percent, switches, calls, memory } = &live.idle;
    json!({
        "workers": live.workers,
        "cases": live.cases.iter().map(case).collect::<Vec<_>>(),
        "idle": {
            "cpu_percent": cpu_percent, "waiting_calls_per_s": switches, "system_calls_per_s": calls, "memory_bytes": memory,
        },
    })
}
