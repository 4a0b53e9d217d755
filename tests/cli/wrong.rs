//! Wrong inputs: each gives one clear error with its place, and leaves nothing behind.
//!
//! What is printed stands in `errors/NAME.txt`: the command, the exit code, the message, and the files that are new.

mod inputs;
mod outside;
mod text;

pub use inputs::{EVENTS, plays, published};

use crate::folder::{Folder, committed};
use std::collections::BTreeSet;

/// A wrong input.
pub struct Wrong {
    /// The name of the file that holds what is printed.
    name: &'static str,
    /// Makes the project, and whatever came before.
    before: fn() -> Folder,
    /// The command that is to fail.
    command: &'static [&'static str],
}

/// What the command prints and leaves.
fn told(wrong: &Wrong) -> String {
    let folder = (wrong.before)();
    let there = folder.files();
    let ran = folder.run(wrong.command);
    assert!(ran.code == 1 || ran.code == 2, "{}: exit code {}\n{}{}", wrong.name, ran.code, ran.out, ran.err);
    let new: BTreeSet<String> = folder.files().difference(&there).map(|name| left_behind(name)).collect();
    let new: Vec<String> = new.into_iter().collect();
    let left = if new.is_empty() { "nothing".to_owned() } else { new.join(", ") };
    let words: Vec<String> = wrong.command.iter().map(|word| quoted(word)).collect();
    let shown = if ran.out.is_empty() { String::new() } else { format!("{}\n", ran.out.trim_end()) };
    let message = ran.err.trim_end();
    let all = format!("{shown}{message}\n\nexit code {}; left behind: {left}\n", ran.code);
    format!("$ riverrun {}\n{}", words.join(" "), steady(&all))
}

/// A file's name without what is another each time: how many checkpoints a job takes before it fails is a race between what
/// its readers find.
fn left_behind(name: &str) -> String {
    let checkpoints = ["/manifest-", "/epoch-"].iter().find_map(|part| name.find(part).map(|at| at + part.len()));
    checkpoints.map_or_else(|| name.to_owned(), |end| format!("{}NUMBER", &name[..end]))
}

/// The text without what is another each time: ids of files, today, and how long something took.
fn steady(text: &str) -> String {
    let id = |window: &str| {
        let groups: Vec<&str> = window.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        lengths == [8, 4, 4, 4, 12] && groups.concat().chars().all(|letter| letter.is_ascii_hexdigit())
    };
    let (mut steady, mut rest) = (String::new(), text);
    while let Some(letter) = rest.chars().next() {
        let skipped = match () {
            () if rest.get(..36).is_some_and(id) => ("ID", 36),
            () if steady.ends_with("_day=") => ("DAY", 10),
            () if steady.ends_with(", in ") => ("TIME", rest.find('\n').unwrap_or(rest.len())),
            () => ("", 0),
        };
        steady.push_str(skipped.0);
        rest = &rest[skipped.1..];
        if skipped.1 == 0 {
            steady.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    steady
}

fn quoted(word: &str) -> String {
    if word.contains([' ', '*', '(']) { format!("\"{word}\"") } else { word.to_owned() }
}

/// Runs all wrong inputs of a list, and says all that differ.
fn all(list: &[Wrong]) {
    let mut differ = Vec::new();
    for wrong in list {
        let told = told(wrong);
        differ.extend(committed(&format!("tests/cli/errors/{}.txt", wrong.name), &told).err());
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn no_message_is_left_over() {
    let used: Vec<&str> =
        [text::WRONG, inputs::WRONG, outside::WRONG].into_iter().flatten().map(|one| one.name).collect();
    assert!(used.len() >= 25, "only {} wrong inputs", used.len());
    let folder = tests::root().join("tests/cli/errors");
    for entry in std::fs::read_dir(folder).expect("the messages are there") {
        let name = entry.expect("the messages are there").file_name().to_string_lossy().into_owned();
        assert!(used.contains(&name.trim_end_matches(".txt")), "{name} belongs to no wrong input");
    }
}
