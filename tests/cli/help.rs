//! `docs/cli.md` is what `--help` says.

use crate::folder::{Folder, committed};

const COMMANDS: [&str; 31] = [
    "init",
    "run",
    "plan",
    "jobs",
    "savepoint",
    "stop",
    "resume",
    "query",
    "check",
    "explain",
    "publish",
    "tail",
    "why",
    "test",
    "table",
    "table describe",
    "table compact",
    "table expire",
    "table orphans",
    "model",
    "model check",
    "model add",
    "pulsar",
    "pulsar start",
    "pulsar stop",
    "pubsub",
    "pubsub mirror",
    "pubsub start",
    "pubsub stop",
    "completions",
    "",
];

const HEAD: &str = "# The command line\n\n\
    Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 an error, 2 wrong usage.\n\
    On a terminal the rows of tables are cut with `…` where they are longer than it, and sentences go on below; off a \
    terminal sentences have 80 columns, and tables, JSON and CSV are whole.\n\
    A relative file of a command is taken from the current folder; `-C` says where the project is and changes \
    nothing else.\n\
    `check` tells of all errors at once; a warning, for a model that nothing uses, leaves its exit code 0.\n\
    Every block is what `--help` prints; a test writes this page.\n";

#[test]
fn the_page_is_what_help_says() {
    let folder = Folder::empty();
    let mut page = HEAD.to_owned();
    for command in COMMANDS.iter().rev().take(1).chain(&COMMANDS[..COMMANDS.len() - 1]) {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = folder.done(&arguments).out;
        assert!(!help.contains("[aliases"), "{command}: a second name is a second thing to learn");
        page += &format!("\n## {}\n\n```text\n{}\n```\n", format!("riverrun {command}").trim(), help.trim_end());
    }
    committed("docs/cli.md", &page).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn every_command_has_a_place_on_the_page() {
    let help = Folder::empty().done(&["--help"]).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    let expected: Vec<&str> =
        COMMANDS.iter().copied().filter(|name| !name.is_empty() && !name.contains(' ')).chain(["help"]).collect();
    assert_eq!(named, expected);
}
