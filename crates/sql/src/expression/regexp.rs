//! Regular expressions: their options, and the functions that match, extract and replace.

use super::arguments::{self, Parameter};
use super::bound::{Bound, OpenLiteral, partial};
use super::kernel::{Argument, KernelResult, fails};
use super::scope::Problem;
use super::text::{Texts, fits};
use arrow::array::{Array, AsArray, BooleanArray, StringArray};
use arrow::datatypes::DataType::{Boolean, Int32, Utf8};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use regex::{Regex, RegexBuilder};
use std::sync::Arc;

/// What the letters of an options text say, as DuckDB reads them: of two that contradict each other the last counts.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    folds_case: bool,
    /// Whether the pattern is a text to look for.
    is_literal: bool,
    dot_matches_newline: bool,
    /// Whether every match is replaced.
    all: bool,
}

const OPTIONS: &str =
    "i (letters of any case), c (of the same case), s (. matches a newline), m (it does not) or l (a plain text)";

impl Options {
    fn read(name: &str, letters: &str) -> Result<Options, Problem> {
        let mut options = Options::default();
        for letter in letters.chars() {
            match letter {
                'c' => options.folds_case = false,
                'i' => options.folds_case = true,
                'l' => options.is_literal = true,
                'm' | 'n' | 'p' => options.dot_matches_newline = false,
                's' => options.dot_matches_newline = true,
                'g' if name == "regexp_replace" => options.all = true,
                ' ' | '\t' | '\n' => {}
                other => {
                    let why = if other == 'g' { ": regexp_replace alone has it" } else { "" };
                    let problem = Problem::new(format!("\"{other}\" is no option of {name}{why}"));
                    let also = if name == "regexp_replace" { "g (every match), " } else { "" };
                    return Err(problem.found(format!("'{letters}'")).expected(format!("{also}{OPTIONS}")));
                }
            }
        }
        Ok(options)
    }

    /// The options that an argument gives: they are the same for all rows.
    fn of(name: &str, argument: Bound) -> Result<Options, Problem> {
        let wrong = |message: String| Err(Problem::new(message).expected("a constant text, such as 'i'"));
        if argument.data_type != Utf8 && argument.open != Some(OpenLiteral::Null) {
            return wrong(format!("the options of {name} must be a text"));
        }
        match &argument.value {
            Some(value) if value.logical_null_count() > 0 => wrong(format!("the options of {name} must not be NULL")),
            Some(value) => Options::read(name, value.as_string::<i32>().value(0)),
            None => wrong(format!("the options of {name} must be a constant text")),
        }
    }
}

/// The texts that a function takes, typed, and its options where there is one argument more.
fn taken(name: &str, mut arguments: Vec<Bound>, texts: usize) -> Result<(Vec<Bound>, Options), Problem> {
    arguments::check_count(name, arguments.len(), texts, texts + 1)?;
    let options = match arguments.len() > texts {
        true => arguments.pop().map_or(Ok(Options::default()), |options| Options::of(name, options))?,
        false => Options::default(),
    };
    let typed = |(at, argument)| arguments::typed(name, at, Parameter::Text, argument);
    Ok((arguments.into_iter().enumerate().map(typed).collect::<Result<_, _>>()?, options))
}

fn nullable(arguments: &[Bound]) -> bool {
    arguments.iter().any(|argument| argument.nullable)
}

/// `regexp_matches(text, pattern, options)` and `regexp_full_match`.
pub(crate) fn matches(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let (texts, options) = taken(name, arguments, 2)?;
    let (whole, nullable) = (name == "regexp_full_match", nullable(&texts));
    let called = if whole { "regexp_full_match" } else { "regexp_matches" };
    partial(called, texts, Boolean, nullable, move |arguments, rows| is_match(arguments, rows, options, whole))
}

/// `regexp_replace(text, pattern, by, options)`: the first match, or with the option `g` all; `\1` is a group.
pub(crate) fn replace(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let (texts, options) = taken(name, arguments, 3)?;
    let nullable = nullable(&texts);
    partial("regexp_replace", texts, Utf8, nullable, move |arguments, rows| replaced(arguments, rows, options))
}

/// `regexp_extract(text, pattern, group, options)`: empty where it does not match; the group or the options may be left
/// out.
pub(crate) fn extract(name: &str, mut arguments: Vec<Bound>) -> Result<Bound, Problem> {
    arguments::check_count(name, arguments.len(), 2, 4)?;
    let mut rest = arguments.split_off(2);
    // The group is a number; of three arguments a text is the options.
    let is_options = |argument: &Bound| argument.data_type == Utf8;
    let has_group = rest.len() == 2 || rest.first().is_some_and(|third| !is_options(third));
    let group = if has_group { group(name, rest.remove(0))? } else { Some(0) };
    arguments.extend(rest);
    let (texts, options) = taken(name, arguments, 2)?;
    let nullable = nullable(&texts);
    partial("regexp_extract", texts, Utf8, nullable, move |arguments, rows| extracted(arguments, rows, options, group))
}

/// The number of a group; NULL is none, whose text is empty.
fn group(name: &str, argument: Bound) -> Result<Option<usize>, Problem> {
    let wrong = |message: String| Problem::new(message).expected("0 for the whole match, or 1 to 9");
    if !argument.data_type.is_integer() && argument.open.is_none() {
        return Err(wrong(format!("the group of {name} must be a whole number")));
    }
    let argument = super::cast::cast_to(argument, &Int32)?;
    let Some(value) = &argument.value else {
        return Err(wrong(format!("the group of {name} must be a constant")));
    };
    let value = value.as_primitive::<Int32Type>();
    if value.is_null(0) {
        return Ok(None);
    }
    match usize::try_from(value.value(0)) {
        Ok(group) if group <= 9 => Ok(Some(group)),
        _ => Err(wrong(format!("the group of {name} is out of range")).found(value.value(0).to_string())),
    }
}

/// The last pattern that was compiled.
#[derive(Default)]
struct LastPattern(Option<(String, Regex)>);

impl LastPattern {
    fn get(&mut self, pattern: &str, options: Options, whole: bool) -> Result<&Regex, ArrowError> {
        const BYTES_MAX: usize = 1 << 20;
        let known = self.0.as_ref().is_some_and(|(known, _)| known == pattern);
        if !known {
            let text = if options.is_literal { regex::escape(pattern) } else { pattern.to_string() };
            let text = if whole { format!(r"\A(?:{text})\z") } else { text };
            let mut builder = RegexBuilder::new(&text);
            builder.size_limit(BYTES_MAX).case_insensitive(options.folds_case);
            builder.dot_matches_new_line(options.dot_matches_newline);
            let regex =
                builder.build().map_err(|_| fails(format!("the regular expression '{pattern}' cannot be read")))?;
            self.0 = Some((pattern.to_string(), regex));
        }
        match &self.0 {
            Some((_, regex)) => Ok(regex),
            None => Err(fails("no regular expression")),
        }
    }
}

fn is_match(arguments: &[Argument], rows: usize, options: Options, whole: bool) -> KernelResult {
    let (texts, patterns) = (Texts::of(&arguments[0]), Texts::of(&arguments[1]));
    let mut compiled = LastPattern::default();
    let mut matches = |row: usize| match (texts.at(row), patterns.at(row)) {
        (Some(text), Some(pattern)) => compiled.get(pattern, options, whole).map(|regex| Some(regex.is_match(text))),
        _ => Ok(None),
    };
    Ok(Arc::new((0..rows).map(&mut matches).collect::<Result<BooleanArray, _>>()?))
}

fn extracted(arguments: &[Argument], rows: usize, options: Options, group: Option<usize>) -> KernelResult {
    let (texts, patterns) = (Texts::of(&arguments[0]), Texts::of(&arguments[1]));
    let mut compiled = LastPattern::default();
    let mut extracted = |row: usize| -> Result<Option<String>, ArrowError> {
        let (Some(text), Some(pattern)) = (texts.at(row), patterns.at(row)) else { return Ok(None) };
        let captures = compiled.get(pattern, options, false)?.captures(text);
        let found = captures.and_then(|captures| captures.get(group?).map(|m| m.as_str().to_string()));
        Ok(Some(found.unwrap_or_default()))
    };
    Ok(Arc::new((0..rows).map(&mut extracted).collect::<Result<StringArray, _>>()?))
}

fn replaced(arguments: &[Argument], rows: usize, options: Options) -> KernelResult {
    let (texts, patterns, by) = (Texts::of(&arguments[0]), Texts::of(&arguments[1]), Texts::of(&arguments[2]));
    let mut compiled = LastPattern::default();
    let mut replaced = |row: usize| -> Result<Option<String>, ArrowError> {
        let (Some(text), Some(pattern), Some(by)) = (texts.at(row), patterns.at(row), by.at(row)) else {
            return Ok(None);
        };
        let regex = compiled.get(pattern, options, false)?;
        let count = if options.all { usize::MAX } else { 1 };
        let (template, mut replaced, mut end) = (template(by, regex.captures_len() - 1)?, String::new(), 0);
        for found in regex.captures_iter(text).take(count) {
            let whole = found.get_match();
            replaced.push_str(&text[end..whole.start()]);
            found.expand(&template, &mut replaced);
            end = whole.end();
            if replaced.len() > text.len() {
                fits(replaced.len())?;
            }
        }
        replaced.push_str(&text[end..]);
        Ok(Some(replaced))
    };
    Ok(Arc::new((0..rows).map(&mut replaced).collect::<Result<StringArray, _>>()?))
}

/// `\1` as the regex library writes it. As in DuckDB, a backslash stands before a digit, or before another one.
fn template(by: &str, groups: usize) -> Result<String, ArrowError> {
    let mut template = String::new();
    let mut letters = by.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('\\') => template.push('\\'),
                Some(digit) => {
                    let group = digit.to_digit(10).filter(|group| *group as usize <= groups);
                    let group = group.ok_or_else(|| no_group(by, digit, groups))?;
                    template.push_str(&format!("${{{group}}}"));
                }
                None => return Err(fails(format!("the replacement '{by}' ends with a single backslash"))),
            },
            '$' => template.push_str("$$"),
            letter => template.push(letter),
        }
    }
    Ok(template)
}

fn no_group(by: &str, after: char, groups: usize) -> ArrowError {
    if after.is_ascii_digit() {
        return fails(format!("the replacement '{by}' names group {after}, and the pattern has {groups}"));
    }
    fails(format!("the replacement '{by}' has a backslash before '{after}', expected a digit or a backslash"))
}
