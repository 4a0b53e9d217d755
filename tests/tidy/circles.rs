//! Files of a crate form no circle of references: what two files share lies in a third one below them.

use crate::modules::{Crate, Reference};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::path::Path;

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

/// Circles as people read them, file by file with the lines that cause them.
fn describe(circles: &[Vec<&Reference>], folder: &Path) -> String {
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
        let references = Crate::read(&folder.join("src")).references();
        files.extend(references.iter().map(|reference| reference.to.clone()));
        let circles = circles(&references);
        if !circles.is_empty() {
            failures.push_str(&describe(&circles, &crates));
        }
    }
    assert!(files.len() > 150, "only {} files are referred to", files.len());
    assert!(failures.is_empty(), "files refer to each other; move what they share into a third file\n{failures}");
}

/// Writes a crate to a folder of its own and returns its references as `from -> to line` by file names.
fn references_of(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder can be made");
        std::fs::write(path, text).expect("a file can be written");
    }
    let references = Crate::read(folder.path()).references();
    let short = |path: &Path| path.strip_prefix(folder.path()).expect("a file of the crate").display().to_string();
    let lines = references.iter().map(|r| format!("{} -> {} {}", short(&r.from), short(&r.to), r.line));
    lines.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn every_way_to_name_an_item_is_a_reference_to_the_file_that_defines_it() {
    let root = "mod a;\nmod b;\nmod c;\nmod run;\npub use b::B;\npub use run::run;\npub const LIMIT: usize = 1;\n";
    let uses = [
        ("use crate::b::B;", "a.rs -> b.rs 1"),
        ("use crate::B;", "a.rs -> b.rs 1"),
        ("use super::B as Other;", "a.rs -> b.rs 1"),
        ("use crate::{\n    c::{self, deep::D},\n};", "a.rs -> c/deep.rs 2"),
        ("use crate::c::D;", "a.rs -> c/deep.rs 1"),
        ("use crate::c::All;", "a.rs -> c/wide.rs 1"),
        ("use crate::c;\n\nfn f() {\n    c::own();\n}", "a.rs -> c/mod.rs 4"),
        ("fn f() -> Vec<super::b::B> {\n    vec![]\n}", "a.rs -> b.rs 1"),
        ("fn f() {\n    g::<crate::b::B>(crate::LIMIT);\n}", "a.rs -> b.rs 2,a.rs -> lib.rs 2"),
        ("mod inner {\n    use super::super::b::B;\n}", "a.rs -> b.rs 2"),
        ("use crate::run;\nfn f() {\n    run();\n}", "a.rs -> run.rs 1"),
        ("use crate::b::*;", "a.rs -> b.rs 1"),
        ("fn f<'a>(x: &'a str) -> char {\n    ['\\'', '\"'];\n    crate::b::g(x)\n}", "a.rs -> b.rs 3"),
    ];
    for (text, expected) in uses {
        let files = [
            ("lib.rs", root),
            ("a.rs", text),
            ("b.rs", "pub struct B;\npub fn g() {}\n"),
            ("c/mod.rs", "mod deep;\nmod wide;\npub use self::wide::*;\npub use deep::D;\npub fn own() {}\n"),
            ("c/deep.rs", "pub struct D;\n"),
            ("c/wide.rs", "pub struct All;\n"),
            ("run.rs", "pub fn run() {}\n"),
        ];
        let found = references_of(&files).into_iter().filter(|line| line.starts_with("a.rs"));
        assert_eq!(found.collect::<Vec<_>>().join(","), expected, "{text}");
    }
}

#[test]
fn what_is_no_reference_is_not_counted() {
    let texts = [
        "// use crate::b::B;\n/* crate::b::B /* nested */ crate::b::B */",
        "const TEXT: &str = \"crate::b::B \\\" crate::b::B\";",
        "const TEXT: &[u8] = br#\"crate::b::B \" crate::b::B\"#;",
        "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}",
        "#[cfg(test)]\nuse crate::b::{B, C};",
        "#[cfg(test)]\nmod missing;",
        "pub(in crate::a) struct A;\nuse self::A as Same;",
        "use crate::b;",
        "use std::b::B;\nuse b::B as Foreign;",
    ];
    for text in texts {
        let files = [("lib.rs", "mod a;\nmod b;\n"), ("a.rs", text), ("b.rs", "pub struct B;\n")];
        assert_eq!(references_of(&files), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_circle_is_shown_from_file_to_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = [
        ("lib.rs", "mod a;\nmod b;\nmod c;\nmod d;\n"),
        ("a.rs", "use crate::b::B;\n\npub struct A;\n"),
        ("b.rs", "pub struct B(super::c::C);\n"),
        ("c.rs", "pub struct C;\nfn f(_: crate::a::A) {}\n"),
        ("d.rs", "use crate::a::A;\n"),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file can be written");
    }
    let references = Crate::read(folder.path()).references();
    let expected = "a circle:\n  a.rs:1 refers to b.rs (b::B)\n  b.rs:1 refers to c.rs (c::C)\n  c.rs:2 refers to \
                    a.rs (a::A)\n";
    assert_eq!(describe(&circles(&references), folder.path()), expected);
}
