//! What people read has the words of SQL and of the project, and nothing that Rust prints for programmers.

use crate::files;

/// Files that print values for programs, with what they print.
const FOR_PROGRAMS: [(&str, &str); 7] = [
    ("connector-iceberg/src/failure.rs", "a kind that goes through a library, and comes out as the kind again"),
    ("connector-pulsar/src/hostile/samples.rs", "what a script comes to, which a test compares"),
    ("dataflow/src/graph.rs", "a node in a failed assertion"),
    ("sql/src/bind/keys.rs", "what keys are sorted by"),
    ("sql/src/expression/scalar.rs", "an expression in a failed assertion"),
    ("sql/src/lower/names.rs", "what steps are told apart by"),
    ("sql/src/rules/share.rs", "what steps are compared by"),
];

/// Whether a line formats a value as Rust shows it to programmers: `{:?}`, `{name:?}`, `{:02x?}`.
fn is_for_programmers(line: &str) -> bool {
    line.match_indices("?}").any(|(at, _)| {
        line[..at].rfind('{').is_some_and(|open| line[open + 1..at].chars().all(|sign| sign != '}' && sign != '"'))
    })
}

#[test]
fn no_message_shows_a_value_as_rust_does() {
    let mut wrong = Vec::new();
    let mut used = [false; FOR_PROGRAMS.len()];
    for file in files(&tests::root().join("crates"), &[".rs"]) {
        let path = file.to_string_lossy().into_owned();
        let is_test = ["/tests/", "/tests.rs", "/reference/", "/harness.rs"].iter().any(|part| path.contains(part));
        if is_test {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source file can be read");
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines: Vec<&str> = code.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_for_programmers(line)) {
            if let Some(listed) = FOR_PROGRAMS.iter().position(|(end, _)| path.ends_with(end)) {
                used[listed] = true;
                continue;
            }
            // A bug of ours and a failed assertion are told to whoever mends them.
            let around = lines[at.saturating_sub(4)..=at].join("\n");
            if !around.contains("Error::internal(") && !around.contains("assert") && !around.contains("panic!(") {
                wrong.push(format!("{path}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "messages with {{:?}}:\n{}", wrong.join("\n"));
    for ((file, what), used) in FOR_PROGRAMS.iter().zip(used) {
        assert!(used, "{file} is listed for {what}, and prints none");
    }
}
