//! What the bench found, for people and as JSON.

use crate::bench::{Case, Findings};
use crate::contender::{Contender, Workload};
use crate::decode::Decode;
use crate::exchange::Exchange;
use crate::lasting::Lasting;
use crate::live;
use crate::measure::Samples;
use crate::models::{Models, Rates};
use crate::plan::Plan;
use crate::pulsar;
use crate::scored::Scored;
use crate::state::State;
use serde_json::{Value, json};

/// A floor takes at most this share of DuckDB's CPU, or it is none.
const FLOOR_SHARE_MAX: f64 = 0.25;

/// How much more CPU than its floor's each workload may take in a release build.
const W1_FLOOR_RATIO_MAX: f64 = 1.5;
const W5_FLOOR_RATIO_MAX: f64 = 1.7;
/// Of runs over at least so many events.
const BAR_EVENTS_MIN: usize = 1_000_000;
/// What the profile of the README's commands, which checks our own code as tests do, may add to that.
pub const CHECKED_MAX: f64 = 1.15;

/// A figure that has to stay at or under a bar.
pub struct Bar {
    pub what: String,
    pub found: f64,
    pub most: f64,
    pub unit: &'static str,
    /// Whether the figure has to reach the bar instead.
    pub is_least: bool,
}

impl Bar {
    pub fn at_most(what: String, found: f64, most: f64, unit: &'static str) -> Bar {
        Bar { what, found, most, unit, is_least: false }
    }

    pub fn at_least(what: String, found: f64, least: f64) -> Bar {
        Bar { what, found, most: least, unit: "x", is_least: true }
    }

    fn met(&self) -> bool {
        if self.is_least { self.found >= self.most } else { self.found <= self.most }
    }

    fn text(&self) -> String {
        let Bar { what, found, most, unit, is_least } = self;
        let (missed, word) = if *is_least { ("UNDER", "at least") } else { ("OVER ", "at most") };
        format!("{} {what}: {found:.2}{unit}, {word} {most:.3}{unit}", if self.met() { "ok   " } else { missed })
    }
}

/// The summary table.
pub fn text(findings: &Findings) -> String {
    let mut lines = Vec::new();
    findings.cases.iter().for_each(|case| lines.extend(case_lines(case)));
    if let Some(models) = &findings.models {
        lines.push("\nmodels, rows per CPU second, one thread".to_owned());
        lines
            .push(format!("{:<14} {:>8} {:>14} {:>14} {:>8}", "model", "batch", "onnxruntime", "model crate", "ratio"));
        lines.extend(models.rates.iter().map(|rates| {
            let ratio = rates.ratio();
            let Rates { model, batch, onnxruntime, ours } = rates;
            format!("{model:<14} {batch:>8} {onnxruntime:>14.0} {ours:>14.0} {ratio:>8.2}")
        }));
        let said = if models.agree() { "the same scores" } else { "DIFFERENT SCORES" };
        lines.push(format!("  {said}: the greatest difference is {:.1e}", models.difference));
    }
    lines.extend(findings.live.as_ref().map(live::text));
    lines.extend(findings.decode.as_ref().map(decode_text));
    lines.extend(findings.exchange.as_ref().map(Exchange::text));
    lines.extend(findings.scored.as_ref().map(Scored::text));
    lines.extend(findings.plan.as_ref().map(Plan::text));
    lines.extend(findings.state.as_ref().map(State::text));
    lines.extend(findings.lasting.as_ref().map(Lasting::text));
    lines.extend(findings.pulsar.as_ref().map(pulsar::text));
    lines.push(String::new());
    lines.extend(bars(findings).iter().map(Bar::text));
    lines.join("\n").trim_end().to_owned()
}

fn decode_text(decode: &Decode) -> String {
    let line = |name: &str, samples: &Samples| {
        format!("{name:>12}{:>11.2}{:>11.2}{:>11.0}", samples.wall_s(), samples.cpu_s(), samples.peak_mib())
    };
    let heads: String = ["wall s", "CPU s", "peak MiB"].iter().map(|head| format!("{head:>11}")).collect();
    let lines = [
        format!("\n{} JSON messages of 8 partitions", decode.messages),
        format!("{:>12}{heads}", ""),
        line("1 worker", &decode.jobs[0]),
        line("2 workers", &decode.jobs[1]),
        line("1 loop", &decode.loops[0]),
        line("2 loops", &decode.loops[1]),
    ];
    lines.join("\n")
}

/// A case's name: the workload, its size and its layout.
fn title(case: &Case) -> String {
    let layout = if case.recipe.spread { "files that each span the whole time" } else { "files in order" };
    format!("{} over {} events in {} {layout}", case.workload.name(), case.recipe.events, case.recipe.files)
}

fn case_lines(case: &Case) -> Vec<String> {
    let heads = ["CPU s", "us/event", "wall s", "peak MiB", "x floor", "x duckdb-1"];
    let heads: String = heads.iter().map(|head| format!("{head:>11}")).collect();
    let mut lines = vec![format!("\n{}", title(case)), format!("{:>12}{heads}", "")];
    lines.extend(case.runs.iter().map(|(contender, samples)| {
        let ratio = |other| case.ratio(*contender, other).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        format!(
            "{:>12}{:>11.2}{:>11.2}{:>11.2}{:>11.0}{:>11}{:>11}",
            contender.name(),
            samples.cpu_s(),
            case.cpu_us(*contender).unwrap_or(f64::NAN),
            samples.wall_s(),
            samples.peak_mib(),
            ratio(Contender::Floor),
            ratio(Contender::DuckDb(1)),
        )
    }));
    for agreement in &case.agreements {
        let (left, right, rows, differ) = (&agreement.left, &agreement.right, agreement.rows, agreement.differ);
        if differ == 0 {
            lines.push(format!("  {right} agrees with {left} on all {rows} rows"));
        } else {
            lines.push(format!("  {right} DIFFERS from {left} in {differ} of {rows} rows, the first:"));
            lines.extend(agreement.first.iter().map(|row| format!("    {row}")));
        }
    }
    if let Some(share) = floor_share(case).filter(|share| *share > FLOOR_SHARE_MAX) {
        lines.push(format!(
            "  THE FLOOR IS NONE HERE: {share:.2} of DuckDB's CPU, where it counts up to {FLOOR_SHARE_MAX}"
        ));
    }
    lines
}

/// The floor's share of the CPU of DuckDB's cheaper run.
fn floor_share(case: &Case) -> Option<f64> {
    let shares = [Contender::DuckDb(1), Contender::DuckDb(2)].into_iter();
    shares.filter_map(|peer| case.ratio(Contender::Floor, peer)).reduce(f64::max)
}

/// Whether every figure stays at or under its bar.
pub fn bars_are_met(findings: &Findings) -> bool {
    bars(findings).iter().all(Bar::met) && findings.pulsar.as_ref().is_none_or(pulsar::bars_are_met)
}

/// A workload's CPU against its floor's. An as-of join is little but reading and writing, where DuckDB is no slower than
/// a loop; W1's floor has to be one.
fn floor_bar(case: &Case) -> Option<Bar> {
    let counts = || floor_share(case).is_none_or(|share| share <= FLOOR_SHARE_MAX);
    let most = match case.workload {
        Workload::W1 if counts() => W1_FLOOR_RATIO_MAX,
        Workload::W1 => return None,
        Workload::W5 => W5_FLOOR_RATIO_MAX,
    };
    let most = if cfg!(debug_assertions) { most * CHECKED_MAX } else { most };
    // A smaller run is mostly the start of a process.
    let ratio = case.ratio(Contender::Riverrun(1), Contender::Floor).filter(|_| case.recipe.events >= BAR_EVENTS_MIN);
    let what = format!("{} over {} events, CPU against the floor's", case.workload.name(), case.recipe.events);
    ratio.map(|found| Bar::at_most(what, found, most, "x"))
}

fn bars(findings: &Findings) -> Vec<Bar> {
    let mut bars = findings.live.as_ref().map(live::bars).unwrap_or_default();
    bars.extend(findings.cases.iter().filter_map(floor_bar));
    bars.extend(findings.models.as_ref().map(Models::bars).unwrap_or_default());
    bars.extend(findings.scored.as_ref().map(Scored::bars).unwrap_or_default());
    bars.extend(findings.plan.as_ref().map(Plan::bars).unwrap_or_default());
    bars.extend(findings.state.as_ref().map(State::bars).unwrap_or_default());
    bars.extend(findings.lasting.as_ref().map(Lasting::bars).unwrap_or_default());
    let mut add = |what: &str, found: Option<f64>, most, unit| {
        bars.extend(found.map(|found| Bar::at_most(what.to_owned(), found, most, unit)));
    };
    if let Some(decode) = &findings.decode {
        add("JSON, time of two workers against one", Some(decode.ratio()), decode.ratio_max(), "x");
    }
    let (ours, floor) = (Contender::Riverrun(1), Contender::Floor);
    let files = |case: &&Case| !case.recipe.spread && case.workload == Workload::W1;
    let Some(ordered) = findings.cases.iter().find(files) else { return bars };
    add("W1, CPU against DuckDB's", ordered.ratio(ours, Contender::DuckDb(1)), 1.0, "x");
    if let Some(spread) = findings.case(Workload::W1, |recipe| recipe.spread) {
        let ratio = spread.cpu_us(ours).zip(ordered.cpu_us(ours)).map(|(spread, ordered)| spread / ordered);
        add("W1, CPU over spread files against files in order", ratio, 1.5, "x");
        add(
            "W1, peak memory over spread files",
            spread.samples(ours).map(|samples| samples.peak_mib()),
            1024.0,
            " MiB",
        );
    }
    if let Some(large) = findings.case(Workload::W1, |recipe| recipe.events > ordered.recipe.events) {
        let growth = |contender| large.cpu_us(contender).zip(ordered.cpu_us(contender)).map(|(big, small)| big / small);
        add("W1, CPU per event at ten times the events against once, the floor", growth(floor), 1.5, "x");
        add("W1, CPU per event at ten times the events against once", growth(ours), 1.5, "x");
    }
    bars
}

/// The same as JSON.
pub fn json(findings: &Findings) -> Value {
    let case = |case: &Case| {
        let run = |(contender, samples): &(Contender, Samples)| {
            let mut run = samples.json();
            run["name"] = json!(contender.name());
            run["cpu_us_per_event"] = json!(case.cpu_us(*contender));
            run["cpu_over_floor"] = json!(case.ratio(*contender, Contender::Floor));
            run["cpu_over_duckdb_1"] = json!(case.ratio(*contender, Contender::DuckDb(1)));
            run
        };
        let agreement = |found: &crate::bench::Agreement| json!({ "left": found.left, "right": found.right, "rows": found.rows, "differ": found.differ, "first": found.first });
        json!({
            "workload": case.workload.name(),
            "events": case.recipe.events,
            "files": case.recipe.files,
            "spread": case.recipe.spread,
            "seed": case.recipe.seed,
            "runs": case.runs.iter().map(run).collect::<Vec<_>>(),
            "agreements": case.agreements.iter().map(agreement).collect::<Vec<_>>(),
            "floor_share_of_duckdb": floor_share(case),
            "floor_counts": floor_share(case).map(|share| share <= FLOOR_SHARE_MAX),
        })
    };
    let models = findings.models.as_ref().map(|models| {
        let rate = |rates: &Rates| {
            json!({ "name": rates.model, "batch": rates.batch, "onnxruntime": rates.onnxruntime, "model": rates.ours })
        };
        let rates: Vec<Value> = models.rates.iter().map(rate).collect();
        json!({ "rows_per_cpu_s": rates, "greatest_difference": models.difference })
    });
    let bar = |bar: &Bar| {
        json!({
            "what": bar.what,
            "found": bar.found,
            (if bar.is_least { "at_least" } else { "at_most" }): bar.most,
            "met": bar.met(),
        })
    };
    json!({
        "cases": findings.cases.iter().map(case).collect::<Vec<_>>(),
        "models": models,
        "live": findings.live.as_ref().map(live::json),
        "decode": findings.decode.as_ref().map(|decode| json!({
            "messages": decode.messages,
            "workers_1": decode.jobs[0].json(),
            "workers_2": decode.jobs[1].json(),
            "loops_1": decode.loops[0].json(),
            "loops_2": decode.loops[1].json(),
            "rows": decode.agreement.rows,
            "differ": decode.agreement.differ,
        })),
        "exchange": findings.exchange.as_ref().map(Exchange::json),
        "scored": findings.scored.as_ref().map(Scored::json),
        "plan": findings.plan.as_ref().map(Plan::json),
        "state": findings.state.as_ref().map(State::json),
        "lasting": findings.lasting.as_ref().map(Lasting::json),
        "pulsar": findings.pulsar.as_ref().map(pulsar::json),
        "bars": bars(findings).iter().map(bar).collect::<Vec<_>>(),
        "agree": findings.agree(),
    })
}
