//! `check` and `explain`: plans, and what is wrong with them.

use crate::outcome::Outcome;
use crate::{print, report};
use project::Project;
use sql::Target;
use std::process::ExitCode;

/// Plans everything.
pub fn check(project: &Project, json: bool) -> Outcome {
    match project.check_wiring(&Target::All) {
        Ok(checked) => {
            let (streams, outputs) = (checked.streams.len(), checked.outputs.len());
            if json {
                print::line(&serde_json::json!({ "streams": streams, "outputs": outputs }).to_string())?;
            } else {
                print::note(format_args!("{}: {streams} streams and {outputs} outputs, all planned", project.name()));
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

/// Shows how a view, a decision, an INSERT target or everything is computed.
pub fn explain(project: &Project, name: Option<&str>) -> Outcome {
    let checked = match name {
        None => project.check(&Target::All)?,
        Some(name) => match project.check(&Target::View(name.to_owned())) {
            Ok(checked) => checked,
            Err(view) => project.check(&Target::Outputs(vec![name.to_owned()])).map_err(|_| view.of_a_name())?,
        },
    };
    print::data(&checked.explain())?;
    Ok(ExitCode::SUCCESS)
}
