//! What is there at the end: each row once, on the topic and in the table.

use super::scene::{OUTPUT, Scene};
use crate::failure;
use dataflow::Result;
use std::fmt;

/// How often the rows are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    missing: u64,
    twice: u64,
    other: u64,
}

impl Found {
    /// Counts ids, of which there are so many from 0 on.
    fn of(ids: impl Iterator<Item = Option<u64>>, published: u64) -> Found {
        let mut seen = vec![false; published as usize];
        let mut found = Found::default();
        for id in ids {
            match id.and_then(|id| seen.get_mut(id as usize)) {
                Some(seen) => found.twice += u64::from(std::mem::replace(seen, true)),
                None => found.other += 1,
            }
        }
        found.missing = seen.iter().filter(|seen| !**seen).count() as u64;
        found
    }
}

/// What the topic and the table have.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    topic: Found,
    table: Found,
}

/// Reads what is there.
pub fn look(scene: &Scene, published: u64) -> Result<Outcome> {
    let printed = scene.printed(&["tail", OUTPUT, "--from-start", "--until-caught-up", "--json"])?;
    let id_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["payload"]["id"].as_u64();
    let topic = Found::of(printed.lines().map(id_of), published);
    let printed = scene.printed(&["query", "SELECT id FROM lake.counted", "--csv"])?;
    if printed.lines().next() != Some("id") {
        return Err(failure::program("riverrun query", printed.lines().next().unwrap_or_default()));
    }
    let table = Found::of(printed.lines().skip(1).map(|line| line.parse().ok()), published);
    Ok(Outcome { topic, table })
}

impl Outcome {
    /// Whether each row is there once.
    pub fn is_whole(&self) -> bool {
        self.topic == Found::default() && self.table == Found::default()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole() {
            return f.write_str("each row is there once, on the topic and in the table");
        }
        for (name, found) in [("the topic", self.topic), ("the table", self.table)] {
            let Found { missing, twice, other } = found;
            write!(f, "{name}: {missing} rows MISSING, {twice} TWICE, {other} that nobody published; ")?;
        }
        Ok(())
    }
}

#[test]
fn rows_are_counted_by_their_ids() {
    let of = |ids: &[u64]| Found::of(ids.iter().map(|id| Some(*id)), 4);
    assert_eq!(of(&[3, 0, 1, 2]), Found::default());
    assert_eq!(of(&[3, 0, 0, 0, 2, 9]), Found { missing: 1, twice: 2, other: 1 });
}
