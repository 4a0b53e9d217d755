//! Wrong projects and what is said about them.

use crate::catalog::Known;
use crate::{assert_none, compare, files, folder, source};
use sql::{Diagnostic, SourceFile, Target, check, parse};

#[test]
fn wrong_projects_give_the_expected_diagnostics() {
    let cases = files(&folder().join("errors"), ".sql");
    assert!(cases.len() >= 25, "only {} wrong projects", cases.len());
    crate::assert_no_orphans(&folder().join("errors"), &[]);
    let mut different = Vec::new();
    for path in cases {
        let file = source(&path);
        let wrong = match parse(std::slice::from_ref(&file)) {
            Err(wrong) => wrong,
            Ok(statements) => match check(&statements, &Known, &Target::All) {
                Err(wrong) => wrong,
                Ok(checked) => panic!("{} is not wrong:\n{}", file.path, checked.logical()),
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

/// What is said about a text, if anything is wrong with it.
fn said(text: String) -> Vec<Diagnostic> {
    let file = SourceFile { path: "cut.sql".to_owned(), text };
    match parse(std::slice::from_ref(&file)) {
        Err(wrong) => wrong,
        Ok(statements) => check(&statements, &Known, &Target::All).err().unwrap_or_default(),
    }
}

#[test]
fn texts_that_lack_a_word_are_refused_at_a_place_or_mean_something() {
    let (mut texts, mut refused) = (0, 0);
    for name in ["dm_spam.sql", "windows.sql", "other_streams.sql"] {
        let whole = source(&folder().join("plans").join(name)).text;
        let words: Vec<(usize, &str)> = whole.match_indices(|c: char| c.is_whitespace()).collect();
        let cut = words.windows(2).step_by(4).map(|pair| format!("{} {}", &whole[..pair[0].0], &whole[pair[1].0..]));
        let ended = words.iter().step_by(15).map(|(at, _)| whole[..*at].to_owned());
        for text in cut.chain(ended) {
            let wrong = said(text.clone());
            wrong.iter().for_each(|wrong| has_a_place(wrong, &text));
            refused += usize::from(!wrong.is_empty());
            texts += 1;
        }
    }
    assert!(refused * 3 > texts, "{refused} of {texts} texts were refused");
}
