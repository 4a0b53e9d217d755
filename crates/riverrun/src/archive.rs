//! `run archive`: topics into history tables.

use crate::args::RunArgs;
use crate::clock::{Stopwatch, rest};
use crate::run::on_interrupt;
use crate::{Outcome, show};
use dataflow::{Error, Position, Result};
use indicatif::{ProgressBar, ProgressStyle};
use project::{Archive, ArchiveEnd, Project};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Copies until the topics end (or the positions that were given), or until Ctrl-C.
pub fn archive(project: &Project, args: &RunArgs) -> Outcome {
    let mut ends = BTreeMap::<String, ArchiveEnd>::new();
    for text in &args.to {
        let (stream, end) = positions(text)?;
        ends.entry(stream).or_default().extend(end);
    }
    let mut archive = Archive::open(project, &ends)?;
    let stopped = on_interrupt()?;
    let bounded = args.until_caught_up || !ends.is_empty();
    let watch = Stopwatch::start();
    let spinner = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} archive  {human_pos} rows")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    spinner.enable_steady_tick(Duration::from_millis(100));
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    while !stopped.load(Ordering::Relaxed) {
        let moved = archive.step()?;
        for one in &moved {
            *rows.entry(one.stream.clone()).or_default() += one.rows;
            spinner.inc(one.rows as u64);
        }
        if moved.is_empty() {
            if bounded {
                break;
            }
            rest();
        }
    }
    spinner.finish_and_clear();
    let tables = archive.tables()?;
    if args.json {
        let streams: Vec<_> = tables
            .iter()
            .map(|(stream, table, total)| {
                serde_json::json!({ "stream": stream, "table": table, "rows": rows.get(stream).unwrap_or(&0), "total": total })
            })
            .collect();
        println!("{}", serde_json::json!({ "archived": streams }));
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("archived in {}", show::duration(watch.elapsed()));
    let header = ["stream", "table", "rows", "in the table"].map(str::to_owned);
    let lines: Vec<_> = tables
        .into_iter()
        .map(|(stream, table, total)| {
            let moved = show::count(*rows.get(&stream).unwrap_or(&0) as i64);
            vec![stream, table, moved, show::count(total as i64)]
        })
        .collect();
    eprint!("{}", show::align(&header, &[false, false, true, true], &lines));
    Ok(ExitCode::SUCCESS)
}

/// `stream=PARTITION:LEDGER:ENTRY:INDEX,..`
fn positions(text: &str) -> Result<(String, ArchiveEnd)> {
    let wrong = || {
        Error::invalid(format!("--to {text:?} is no list of positions; write stream=PARTITION:LEDGER:ENTRY:INDEX,.."))
    };
    let (stream, list) = text.split_once('=').ok_or_else(wrong)?;
    let mut ends = ArchiveEnd::new();
    for one in list.split(',') {
        let numbers: Vec<u64> = one.split(':').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_>>()?;
        let [partition, ledger, entry, index] = numbers[..] else { return Err(wrong()) };
        let (Ok(partition), Ok(batch_index)) = (u32::try_from(partition), u32::try_from(index)) else {
            return Err(wrong());
        };
        ends.insert(partition, Position { ledger, entry, batch_index });
    }
    Ok((stream.to_owned(), ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_and_refused() {
        let (stream, ends) = positions("plays=0:1:41:0,1:1:7:2").unwrap();
        assert_eq!(stream, "plays");
        assert_eq!(ends[&1], Position { ledger: 1, entry: 7, batch_index: 2 });
        for wrong in ["plays", "plays=", "plays=0:1:2", "plays=0:1:2:x", "plays=0:1:2:3:4"] {
            assert!(positions(wrong).is_err(), "{wrong}");
        }
    }
}
