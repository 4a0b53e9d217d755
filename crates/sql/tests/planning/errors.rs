//! Wrong projects and what is said about them.

use crate::catalog::Known;
use crate::{assert_none, compare, files, folder, source};
use sql::{Diagnostic, Target, check, parse};

#[test]
fn wrong_projects_give_the_expected_diagnostics() {
    let cases = files(&folder().join("errors"), ".sql");
    assert!(cases.len() >= 25, "only {} wrong projects", cases.len());
    let mut different = Vec::new();
    for path in cases {
        let file = source(&path);
        let wrong = match parse(std::slice::from_ref(&file)) {
            Err(wrong) => wrong,
            Ok(statements) => match check(&statements, &Known, &Target::All) {
                Err(wrong) => wrong,
                Ok(checked) => panic!("{} is not wrong:\n{}", file.path, checked.explain()),
            },
        };
        wrong.iter().for_each(|wrong| has_a_place(wrong, &file.text));
        let text: String = wrong.iter().map(|wrong| format!("{wrong}\n")).collect();
        different.extend(compare(&path.with_extension("txt"), &text));
    }
    assert_none(different);
}

/// The place lies in the text, and is no wider than its line.
fn has_a_place(wrong: &Diagnostic, text: &str) {
    let line = text.lines().nth(wrong.line as usize - 1).unwrap_or_else(|| panic!("no line of\n{wrong}"));
    let length = line.chars().count() as u64;
    assert!(wrong.column >= 1 && wrong.column <= length + 1, "outside the line:\n{wrong}");
    assert!(wrong.span_len >= 1 && wrong.column - 1 + wrong.span_len <= length + 1, "wider than the line:\n{wrong}");
    assert_eq!(wrong.source_line, line);
}
