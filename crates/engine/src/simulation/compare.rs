//! Compares what came out with what had to.

use super::scene::LABELLED;
use super::world::World;
use std::collections::BTreeMap;

/// The rows of a topic or a table.
pub fn rows_of(world: &World, name: &str) -> Result<Vec<String>, String> {
    if let Some(topic) = world.topics.get(name) {
        return Ok(topic.partitions.iter().flat_map(|p| p.messages.iter().map(|m| m.2.clone())).collect());
    }
    let Some(table) = world.tables.get(name) else { return Ok(vec![]) };
    let mut rows = Vec::new();
    for token in &table.files {
        let file = world.files.get(&(name.to_owned(), token.clone()));
        rows.extend(file.ok_or_else(|| format!("{name}: the file {token} is gone"))?.iter().cloned());
    }
    Ok(rows)
}

type Counts<'a> = BTreeMap<&'a str, i64>;

fn counts<'a>(rows: impl Iterator<Item = &'a str>) -> Counts<'a> {
    let mut counts = Counts::new();
    rows.for_each(|row| *counts.entry(row).or_default() += 1);
    counts
}

/// A row of which there are more than of another list, with both numbers.
fn more<'a>(of: &Counts<'a>, than: &Counts<'a>) -> Option<(&'a str, i64, i64)> {
    let numbers = of.iter().map(|(row, count)| (*row, *count, than.get(row).copied().unwrap_or(0)));
    numbers.into_iter().find(|(_, count, than)| count > than)
}

/// The rows have to be the same, each as often.
pub fn same(output: &str, mut found: Vec<String>, mut expected: Vec<String>) -> Result<(), String> {
    found.sort();
    expected.sort();
    if found == expected {
        return Ok(());
    }
    let (of_found, of_expected) =
        (counts(found.iter().map(String::as_str)), counts(expected.iter().map(String::as_str)));
    Err(format!(
        "{output} has {} rows, expected {}; {} is too much or wrong, {} is missing",
        found.len(),
        expected.len(),
        more(&of_found, &of_expected).map_or("none", |(row, _, _)| row),
        more(&of_expected, &of_found).map_or("none", |(row, _, _)| row)
    ))
}

/// Where the log alone does not place rows, each has to be there as often as it came, whatever its columns say; on a topic
/// those at least that lie after its beginning wherever they are placed.
pub fn each_once(output: &str, found: &[String], least: &[String], most: &[String]) -> Result<(), String> {
    // Labels at the end wait for what may still come.
    if output == LABELLED {
        return Ok(());
    }
    let id = |row: &'_ String| row.split('|').next().unwrap_or_default().len();
    let ids = |rows: &'_ [String]| rows.iter().map(|row| row[..id(row)].to_owned()).collect::<Vec<String>>();
    let (found, least, most) = (ids(found), ids(least), ids(most));
    let [found, least, most] = [&found, &least, &most].map(|ids| counts(ids.iter().map(String::as_str)));
    if let Some((id, there, came)) = more(&found, &most) {
        return Err(format!("{output} has row {id} {there} times, and it came {came} times"));
    }
    match more(&least, &found) {
        Some((id, came, there)) => Err(format!("{output} has row {id} {there} times, and it came {came} times")),
        None => Ok(()),
    }
}
