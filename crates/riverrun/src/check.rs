//! `check` and `explain`: plans, and what is wrong with them.

use crate::outcome::Outcome;
use crate::print::for_terminal;
use crate::progress::Spinner;
use crate::{print, report, show};
use project::Project;
use serde_json::{Value, json};
use sql::{Explained, ExplainedColumn, ExplainedInput, ExplainedNode, ExplainedOutput, ExplainedState, Target};
use std::process::ExitCode;

/// Plans everything.
pub fn check(project: &Project, json: bool) -> Outcome {
    let opening = Spinner::start("opening inputs");
    let wired = project.check_wiring(&Target::All);
    drop(opening);
    match wired {
        Ok(checked) => {
            let (streams, outputs) = (checked.streams.len(), checked.outputs.len());
            if json {
                let warnings = checked.warnings.iter().map(|one| report::diagnostic_json(one).to_string());
                warnings.into_iter().try_for_each(|line| print::line(&line).map(drop))?;
                print::line(&serde_json::json!({ "streams": streams, "outputs": outputs }).to_string())?;
            } else {
                report::warnings(&checked.warnings);
                let nothing = project.nothing_to_run().map_or(String::new(), |why| format!("; {why}"));
                print::note(format_args!(
                    "{}: {} and {}, all planned{nothing}",
                    project.name(),
                    show::counted(streams as i64, "stream"),
                    show::counted(outputs as i64, "output")
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) if json => {
            report::failure_json(&failure).iter().try_for_each(|line| print::line(&line.to_string()).map(drop))?;
            Ok(ExitCode::from(1))
        }
        Err(failure) => Err(failure),
    }
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
    /// For Graphviz.
    Dot,
    /// The statements as they are bound.
    Sql,
}

/// Shows how a view, a decision, an INSERT target or everything is computed.
pub fn explain(project: &Project, name: Option<&str>, form: Form) -> Outcome {
    let checked = match name {
        None => project.check(&Target::All)?,
        Some(name) => match project.check(&Target::View(name.to_owned())) {
            Ok(checked) => checked,
            // A view that is wrong is none that is not there.
            Err(view) if !view.is_of_a_name() => return Err(view),
            Err(view) => match project.check(&Target::Outputs(vec![name.to_owned()])) {
                Err(output) if !output.is_of_a_name() => return Err(output),
                output => output.map_err(|_| view.of_a_name())?,
            },
        },
    };
    let mut explained = checked.explained()?;
    for state in explained.nodes.iter_mut().filter_map(|node| node.state.as_mut()) {
        state.id = project.state_id(state.digest);
    }
    let text = match form {
        Form::Text => for_terminal(explained.to_string()),
        Form::Json => format!("{}\n", as_json(&explained)),
        Form::Dot => explained.dot(),
        Form::Sql => checked.bound().to_owned(),
    };
    print::data(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(explained: &Explained) -> Value {
    let input = |input: &ExplainedInput| {
        json!({
            "from": explained.nodes[input.from].name, "rows": input.port, "exchange": input.exchange,
            "columns": input.columns,
        })
    };
    let state = |state: &ExplainedState| json!({ "id": state.id, "digest": format!("{:032x}", state.digest), "bytes_each": state.bytes_each });
    let node = |node: &ExplainedNode| {
        json!({
            "name": node.name, "kind": node.kind, "computes": node.computes, "stage": node.stage,
            "state": node.state.as_ref().map(state),
            "inputs": node.inputs.iter().map(input).collect::<Vec<_>>(),
            "columns": node.columns.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect::<Vec<_>>(),
        })
    };
    let column = |column: &ExplainedColumn| {
        let from = column.from.iter().map(|(stream, name)| json!({ "stream": stream, "column": name }));
        json!({ "name": column.name, "from": from.collect::<Vec<_>>() })
    };
    let output = |output: &ExplainedOutput| json!({ "name": output.name, "columns": output.columns.iter().map(column).collect::<Vec<_>>() });
    let rule = |(name, times): &(&str, usize)| json!({ "rule": name, "times": times });
    json!({
        "rules": explained.rules.iter().map(rule).collect::<Vec<_>>(),
        "nodes": explained.nodes.iter().map(node).collect::<Vec<_>>(),
        "outputs": explained.outputs.iter().map(output).collect::<Vec<_>>(),
    })
}
