//! Colors: whether the terminal gets any, and what each of them says.

use clap::ColorChoice;
use std::io::{IsTerminal, stderr, stdout};
use std::sync::OnceLock;

/// What the command line asks for.
static CHOICE: OnceLock<ColorChoice> = OnceLock::new();

/// What a color says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Something is wrong.
    Error,
    /// Something may not be as it was meant.
    Warning,
    /// Something went well.
    Good,
    /// What to look at first.
    Heading,
    /// What is not part of the matter itself: labels, and commands to go on with.
    Label,
}

/// Takes what the command line asks for. The first call counts.
pub fn choose(choice: ColorChoice) {
    let _ = CHOICE.set(choice);
}

/// A text for stdout.
pub fn out(meaning: Meaning, text: &str) -> String {
    painted(is_wanted(stdout().is_terminal()), meaning, text)
}

/// A text for stderr.
pub fn err(meaning: Meaning, text: &str) -> String {
    painted(is_on_err(), meaning, text)
}

/// Whether stderr gets colors.
pub fn is_on_err() -> bool {
    is_wanted(stderr().is_terminal())
}

fn is_wanted(terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let refused = set("NO_COLOR").is_some() || set("TERM").is_some_and(|terminal| terminal == "dumb");
    decide(CHOICE.get().copied().unwrap_or(ColorChoice::Auto), terminal, refused)
}

/// Colors are there when they are asked for, and by default on a terminal whose owner does not refuse them.
fn decide(choice: ColorChoice, terminal: bool, refused: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && !refused,
    }
}

fn painted(on: bool, meaning: Meaning, text: &str) -> String {
    let code = match meaning {
        Meaning::Error => "1;31",
        Meaning::Warning => "1;33",
        Meaning::Good => "1;32",
        Meaning::Heading => "1",
        Meaning::Label => "36",
    };
    if on && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_comes_before_what_the_terminal_has() {
        for (choice, terminal, refused, expected) in [
            (ColorChoice::Auto, true, false, true),
            (ColorChoice::Auto, true, true, false),
            (ColorChoice::Auto, false, false, false),
            (ColorChoice::Always, false, true, true),
            (ColorChoice::Never, true, false, false),
        ] {
            assert_eq!(decide(choice, terminal, refused), expected, "{choice} {terminal} {refused}");
        }
        assert_eq!(painted(false, Meaning::Error, "error:"), "error:");
        assert_eq!(painted(true, Meaning::Error, "error:"), "\x1b[1;31merror:\x1b[0m");
    }
}
