//! What may be there once: names, and what writes a table or a topic.

use super::binding::Binding;
use super::removed_rows;
use crate::diagnostic::Fault;
use crate::statement::{History, PlacedStatement, Statement};
use std::collections::{HashMap, HashSet};

/// Names are defined once. Streams, views and decisions share their names; models and experiments have their own.
pub(crate) fn names(binding: &mut Binding) {
    let statements = binding.statements;
    let mut seen: HashMap<(u8, String), (&PlacedStatement, &str)> = HashMap::new();
    for placed in &statements.statements {
        let Some((kind, name)) = placed.statement.defines() else { continue };
        let space = match kind {
            "model" => 1,
            "experiment" => 2,
            _ => 0,
        };
        match seen.get(&(space, name.text.to_lowercase())) {
            None => drop(seen.insert((space, name.text.to_lowercase()), (placed, kind))),
            Some((first, first_kind)) => {
                let place = format!("{}:{}", statements.files[first.file].path, first.span.start.line);
                let fault = Fault::new(name.span, format!("\"{}\" is defined twice", name.text))
                    .found(format!("a {kind} of the name of the {first_kind} at {place}"))
                    .hint("give one of them another name");
                binding.note::<()>(placed, fault.err());
            }
        }
    }
}

/// Each table and topic is written by one statement, and not by one that reads it.
pub(crate) fn outputs(binding: &mut Binding) {
    let statements = binding.statements;
    let mut seen: HashMap<(bool, String), String> = HashMap::new();
    for placed in &statements.statements {
        if let Statement::Stream(stream) = &placed.statement {
            if let Some(History::Table(table)) = &stream.history {
                seen.insert((false, table.text.to_lowercase()), format!("HISTORY of stream \"{}\"", stream.name.text));
            }
            if let Some(topic) = &stream.live {
                seen.insert((true, topic.text.to_lowercase()), format!("LIVE of stream \"{}\"", stream.name.text));
            }
        }
    }
    let mut shared = HashSet::new();
    for placed in &statements.statements {
        for (topic, name, span) in placed.statement.writes() {
            let kind = if topic { "topic" } else { "table" };
            // Streams may share what their dead letters go to, since these all have the same columns.
            let letters = removed_rows::are_letters(&placed.statement, span);
            match seen.get(&(topic, name.to_lowercase())) {
                Some(_) if letters && shared.contains(&(topic, name.to_lowercase())) => {}
                None => {
                    if letters {
                        shared.insert((topic, name.to_lowercase()));
                    }
                    let place = format!("written at {}:{}", statements.files[placed.file].path, span.start.line);
                    seen.insert((topic, name.to_lowercase()), place);
                }
                Some(other) => {
                    let fault = Fault::new(span, format!("{kind} \"{name}\" is already used elsewhere"))
                        .found(other)
                        .expected(format!("a {kind} that nothing else writes or reads as input"))
                        .hint("choose another name");
                    binding.note::<()>(placed, fault.err());
                }
            }
        }
    }
}
