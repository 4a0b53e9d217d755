//! What functions ask of their arguments.

use super::bound::{Bound, Fails, OpenLiteral, call};
use super::cast::cast_to;
use super::kernel::{Argument, KernelResult};
use super::scope::Problem;
use super::sql_type;
use arrow::datatypes::DataType::{self, Int64, Utf8};

/// The type that a parameter of a text function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    Text,
    Whole,
    /// Anything, as text.
    AsText,
}

use Parameter::{AsText, Text, Whole};

/// The type that a text function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gives {
    Text,
    BigInt,
    Integer,
    Boolean,
}

impl Gives {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Gives::Text => "TEXT",
            Gives::BigInt => "BIGINT",
            Gives::Integer => "INTEGER",
            Gives::Boolean => "BOOLEAN",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Gives::Text => Utf8,
            Gives::BigInt => Int64,
            Gives::Integer => DataType::Int32,
            Gives::Boolean => DataType::Boolean,
        }
    }
}

/// A function of texts and whole numbers.
pub(crate) struct TextFunction {
    pub(crate) takes: &'static [Parameter],
    /// How many of them must be there.
    pub(crate) least: usize,
    pub(crate) gives: Gives,
    pub(crate) kernel: fn(&[Argument], usize) -> KernelResult,
}

/// As many arguments as a function takes.
pub(crate) fn exactly<const N: usize>(name: &str, arguments: Vec<Bound>) -> Result<[Bound; N], Problem> {
    let found = arguments.len();
    arguments.try_into().map_err(|_| {
        Problem::new(format!("{name} takes {N} argument{}", if N == 1 { "" } else { "s" }))
            .found(found.to_string())
            .expected(N.to_string())
    })
}

impl TextFunction {
    /// The call of the function by one of its names; `first` is the one that it is known by.
    pub(crate) fn call(
        &self,
        first: &'static str,
        name: &str,
        fails: Fails,
        arguments: Vec<Bound>,
    ) -> Result<Bound, Problem> {
        self.check_count(name, arguments.len())?;
        let skips_null = self.takes.contains(&AsText);
        let nullable = arguments.iter().any(|argument| argument.nullable) && name != "concat";
        let typed = arguments.into_iter().enumerate().map(|(at, argument)| {
            let takes = self.takes.get(at).copied().unwrap_or(AsText);
            typed(name, at, takes, argument)
        });
        let typed = typed.collect::<Result<Vec<_>, _>>()?;
        let nullable = nullable || (skips_null && name != "concat");
        call(first, fails, typed, self.gives.data_type(), nullable, self.kernel)
    }

    fn check_count(&self, name: &str, found: usize) -> Result<(), Problem> {
        match self.takes.contains(&AsText) {
            true if found >= self.least => Ok(()),
            true => Err(other_count(name, found).expected(format!("at least {}", self.least))),
            false => check_count(name, found, self.least, self.takes.len()),
        }
    }
}

/// Refuses fewer arguments than the least, and more than the most.
pub(crate) fn check_count(name: &str, found: usize, least: usize, most: usize) -> Result<(), Problem> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Err(other_count(name, found).expected(expected))
}

fn other_count(name: &str, found: usize) -> Problem {
    let arguments = if found == 1 { "argument" } else { "arguments" };
    Problem::new(format!("{name} does not take {found} {arguments}")).found(found.to_string())
}

/// The argument at a place as a parameter takes it.
pub(crate) fn typed(name: &str, at: usize, takes: Parameter, argument: Bound) -> Result<Bound, Problem> {
    match takes {
        AsText => cast_to(argument, &Utf8),
        Text if argument.data_type == Utf8 || argument.open == Some(OpenLiteral::Null) => cast_to(argument, &Utf8),
        Whole if argument.data_type.is_integer() || argument.open.is_some() => cast_to(argument, &Int64),
        _ => {
            let found = sql_type::name(&argument.data_type);
            let expected = if takes == Text { "TEXT" } else { "a whole number" };
            let shown = shown(name);
            let problem = Problem::new(format!("{shown} needs {expected} as argument {}", at + 1));
            Err(problem.found(found).expected(expected).hint(match takes {
                Text => "cast it, e.g. x::TEXT",
                _ => "cast it, e.g. x::BIGINT",
            }))
        }
    }
}

/// What a function is called in a message: those of operators are called as these are written.
fn shown(name: &str) -> &str {
    match name {
        "~~" | "~~\\" => "LIKE",
        "~~*" | "~~*\\" => "ILIKE",
        _ => name,
    }
}
