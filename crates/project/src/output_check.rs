//! Outputs whose names or columns their place cannot have, told before anything is written.

use crate::dead_letter::encoder;
use crate::open::Project;
use crate::topic_place::TopicPlace;
use connector_iceberg::{check_layout, check_table};
use connector_local::check_topic_name;
use dataflow::{Error, ErrorKind, Output, Result};
use sql::{Diagnostic, OutputSpec};

/// What is wrong with outputs, where the text names them.
pub fn wrong_outputs(project: &Project, outputs: &[OutputSpec]) -> Result<Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    for spec in outputs {
        if let Err(error) = check_output(project, spec) {
            wrong.push(placed(error, |message| project.statements.at_output(&spec.output, message))?);
        }
        if let Err(error) = check_output_place(project, spec) {
            wrong.push(placed(error, |message| project.statements.at_output(&spec.output, message))?);
        }
    }
    Ok(wrong)
}

/// Tables that are there and do not take the rows of outputs, where the text names them: what a run that goes on is refused
/// for.
pub fn unfitting_outputs(project: &Project, outputs: &[OutputSpec]) -> Result<Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    for spec in outputs {
        let Output::Table(table) = &spec.output else { continue };
        // Without a table of a name that is none nothing is looked up.
        let Some(warehouse) = project.warehouse_if_there()?.filter(|_| check_output(project, spec).is_ok()) else {
            continue;
        };
        if let Err(error) = warehouse.check_output(table, &spec.schema, &project.statements.table_layout(table)) {
            wrong.push(placed(error, |message| project.statements.at_output(&spec.output, message))?);
        }
    }
    Ok(wrong)
}

/// What people should know of how the files of outputs are written, where the text names them.
pub fn told_outputs(project: &Project, outputs: &[OutputSpec]) -> Result<Vec<Diagnostic>> {
    let mut told = Vec::new();
    for spec in outputs {
        let Output::Table(table) = &spec.output else { continue };
        let Some(warehouse) = project.warehouse_if_there()? else { continue };
        let warnings = warehouse.notes(table)?.into_iter();
        let warnings = warnings.filter_map(|note| project.statements.at_output(&spec.output, &note));
        told.extend(warnings.map(|note| Diagnostic { is_warning: true, ..note }));
    }
    Ok(told)
}

/// An error at its place in the text; one that is no fault of the text stays as it is.
pub fn placed(error: Error, place: impl Fn(&str) -> Option<Diagnostic>) -> Result<Diagnostic> {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Refused => place(&error.chain()).ok_or(error),
        _ => Err(error),
    }
}

fn check_output(project: &Project, spec: &OutputSpec) -> Result<()> {
    match &spec.output {
        Output::Table(table) => {
            check_table(table, &spec.schema)?;
            check_layout(table, &spec.schema, &project.statements.table_layout(table))
        }
        Output::Topic(topic) => {
            check_topic_name(topic)?;
            encoder(&spec.schema).map(drop)
        }
        Output::Query(_) => Ok(()),
    }
}

/// Refuses a topic that streams would read again, since its name matches one of their patterns.
pub(crate) fn check_patterns(project: &Project, topic: &str) -> Result<()> {
    let TopicPlace::Pulsar(place) = project.topic_place() else { return Ok(()) };
    for (name, pattern) in project.topic_patterns(place)? {
        if name == topic {
            return Err(Error::invalid(format!(
                "{topic} stands for the topics whose names match \"{}\" in this environment, which are read and not \
                 written; expected another name",
                pattern.text()
            )));
        }
        if pattern.takes(topic) {
            return Err(Error::invalid(format!(
                "topic {topic} matches \"{}\", the pattern of {name} in live, so its rows would be read as those of {name}; \
                 expected a name that does not match",
                pattern.text()
            )));
        }
    }
    Ok(())
}

/// Refuses a table whose data files would lie on a disk and the rest in a store, or the other way round. A catalog says where
/// a table lies once it is there.
fn check_output_place(project: &Project, spec: &OutputSpec) -> Result<()> {
    let table = match &spec.output {
        Output::Table(table) => table,
        Output::Topic(topic) => return check_patterns(project, topic),
        Output::Query(_) => return Ok(()),
    };
    let layout = project.statements.table_layout(table);
    if layout.properties.is_empty() || check_table(table, &spec.schema).is_err() {
        return Ok(());
    }
    project.table_location(table)?.map_or(Ok(()), |location| connector_iceberg::check_place(table, &location, &layout))
}
