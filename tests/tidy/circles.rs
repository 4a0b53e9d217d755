//! Files of a crate form no circle of references: what two files share lies in a third one below them.

use crate::modules::{Crate, Reference};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::path::Path;

/// Crates that may still have circles. One that has none any more must not stand here.
const WITH_CIRCLES: &[&str] = &[];

/// By file, the files that it refers to, each with the first line that does.
type Graph<'a> = BTreeMap<&'a Path, BTreeMap<&'a Path, &'a Reference>>;

fn graph(references: &[Reference]) -> Graph<'_> {
    let mut graph = Graph::new();
    for reference in references {
        graph.entry(&reference.from).or_default().entry(&reference.to).or_insert(reference);
    }
    graph
}

/// The shortest way from a file back to itself.
fn circle_through<'a>(graph: &Graph<'a>, start: &'a Path) -> Option<Vec<&'a Reference>> {
    let mut reached: BTreeMap<&Path, &Reference> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(file) = waiting.pop_front() {
        for (to, reference) in graph.get(file).into_iter().flatten() {
            if !reached.contains_key(to) {
                reached.insert(to, reference);
                waiting.push_back(to);
            }
        }
    }
    let mut circle = vec![*reached.get(start)?];
    while let Some(first) = circle.first().filter(|first| first.from != start) {
        circle.insert(0, reached[first.from.as_path()]);
    }
    Some(circle)
}

/// The shortest circle through each file, each circle once.
fn circles(references: &[Reference]) -> Vec<Vec<&Reference>> {
    let graph = graph(references);
    let mut seen = BTreeSet::new();
    let found = graph.keys().filter_map(|file| circle_through(&graph, file));
    found.filter(|circle| seen.insert(circle.iter().map(|r| r.from.as_path()).collect::<BTreeSet<_>>())).collect()
}

/// Tells circles to a person, file by file with the lines that cause them.
fn told(circles: &[Vec<&Reference>], folder: &Path) -> String {
    let short = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let mut text = String::new();
    for circle in circles {
        text.push_str("a circle:\n");
        for reference in circle {
            let Reference { from, to, line, path } = reference;
            writeln!(text, "  {}:{line} refers to {} ({path})", short(from), short(to))
                .expect("a String can be written to");
        }
    }
    text
}

#[test]
fn files_of_a_crate_form_no_circle() {
    let crates = tests::root().join("crates");
    let mut failures = String::new();
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(&crates).expect("the folder of the crates can be read") {
        let folder = entry.expect("an entry").path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let references = Crate::read(&folder.join("src")).references();
        files.extend(references.iter().map(|reference| reference.to.clone()));
        let circles = circles(&references);
        match (circles.is_empty(), WITH_CIRCLES.contains(&name.as_str())) {
            (false, false) => failures.push_str(&told(&circles, &crates)),
            (true, true) => writeln!(failures, "{name} has no circle any more: take it out of WITH_CIRCLES")
                .expect("a String can be written to"),
            (true, false) | (false, true) => {}
        }
    }
    assert!(files.len() > 150, "only {} files are referred to", files.len());
    assert!(failures.is_empty(), "what two files share belongs into a third one below them\n{failures}");
}
