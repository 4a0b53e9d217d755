//! What came out of a seed, and what is left outside, against what has to be there.

use super::compare::{self, rows_of};
use super::input::START;
use super::naive;
use super::play::Play;
use super::world::{Access, World};
use dataflow::{EventTime, Fate};
use std::sync::Arc;

impl Play {
    /// What came out is what a loop over all rows gives, and rows add up.
    pub fn compare(&self) -> Result<(), String> {
        let start = self.start()?;
        let world = self.shared.world();
        let logs = &self.setup.logs;
        if world.is_shown {
            println!("topics begin after {} us", start.0 - START);
            self.show_rows();
        }
        let of = |start| naive::outputs(&self.setup.scene, &logs["messages"], &logs["reports"], start);
        for (output, expected) in of(start) {
            let found = rows_of(&world, output)?;
            let written = fate(&world.rows.steps, &format!("into {output}"), &[Fate::Out]);
            if written != found.len() as i64 {
                return Err(format!("{output}: {written} rows are counted, and it has {}", found.len()));
            }
            match self.setup.scene.joins {
                true => compare::each_once(output, &found, &expected, &of(EventTime::MIN)[output])?,
                false => compare::same(output, found, expected)?,
            }
        }
        for (stream, log) in logs {
            let there: usize = log.iter().map(Vec::len).sum();
            let came = fate(&world.rows.streams, stream, &[Fate::In]);
            let gone = [Fate::Out, Fate::LateDropped, Fate::Quarantined, Fate::Bad, Fate::DeadLettered];
            let gone = fate(&world.rows.streams, stream, &gone);
            // What no output reads is not read.
            let is_read = world.rows.streams.iter().any(|(name, _)| name == stream);
            if is_read && (came != there as i64 || gone != came) {
                return Err(format!(
                    "{stream}: {there} messages, {came} are counted, and {gone} of them went somewhere"
                ));
            }
        }
        orphans(&world, self.setup.kept)
    }

    /// Prints the rows as the rule of row time places them.
    fn show_rows(&self) {
        for (stream, log) in &self.setup.logs {
            let delay = self.setup.scene.delay_of(stream).0;
            for row in naive::rows_of(log, delay, false) {
                let (partition, position) = row.order.position();
                let arrival = log[partition as usize].iter().find(|message| message.position == position);
                let arrival = arrival.map_or(0, |message| message.arrival.0 - START);
                let (time, id) = (row.time - START, row.id);
                println!("  {stream} {id}: at {time} us, in partition {partition}, there after {arrival} us");
            }
        }
    }

    /// W, as the newest manifest has it.
    fn start(&self) -> Result<EventTime, String> {
        let store = Arc::new(super::stores::Objects(Access::new(&self.shared, 0)));
        let opened = checkpoint::Checkpoints::unlocked(store, 1, self.setup.clock.clone(), Box::new(|_| {}));
        let newest = opened.and_then(|checkpoints| checkpoints.newest()).map_err(|error| error.chain())?;
        newest.map(|newest| newest.facts.start).ok_or_else(|| "there is no checkpoint at the end".to_owned())
    }
}

fn fate(of: &[(String, dataflow::Fates)], name: &str, fates: &[Fate]) -> i64 {
    let of_name = of.iter().filter(|(of, _)| of == name);
    of_name.map(|(_, counts)| fates.iter().map(|&fate| counts.of(fate)).sum::<i64>()).sum()
}

/// Nothing is left that nobody names: of data files those of tables alone, of checkpoints those that are kept.
fn orphans(world: &World, kept: usize) -> Result<(), String> {
    let is_live =
        |(table, token): &&(String, String)| world.tables.get(table).is_some_and(|table| table.files.contains(token));
    // A run that began anew leaves those of runs before it to the next one.
    if let Some((table, token)) = world.files.keys().find(|file| !is_live(file) && !world.began_anew) {
        return Err(format!("a data file of {table} is left that nobody will commit: {token}"));
    }
    let manifests = world.objects.keys().filter(|name| name.starts_with("manifest")).count();
    if manifests > kept {
        return Err(format!("{manifests} manifests are left, {kept} are kept"));
    }
    Ok(())
}
