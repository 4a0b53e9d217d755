//! `why`: one decision from its log.

use crate::outcome::Outcome;
use crate::query::print_json;
use crate::{print, show};
use dataflow::Error;
use project::Project;
use std::process::ExitCode;

/// Shows the log row of a decision: the rules first, then the features.
pub fn why(project: &Project, id: &str, json: bool) -> Outcome {
    let found = project.why(id)?;
    if json {
        let rows: Vec<_> = found.into_iter().map(|(_, row)| row).collect();
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: usize = found.iter().map(|(_, batch)| batch.num_rows()).sum();
    if rows > 1 {
        return Err(
            Error::invalid(format!("{rows} decisions have an id that begins with \"{id}\"; give more of it")).into()
        );
    }
    for (decision, row) in &found {
        let cells = show::cells(row)?;
        let width = row.schema().fields().iter().map(|field| field.name().chars().count()).max().unwrap_or(0);
        print::line(&format!("decision {decision}"))?;
        // The columns of the decision itself come first; what is empty or NULL among them is nothing that happened.
        let own = row.schema().fields().iter().position(|field| field.name() == "revision");
        for (column, field) in row.schema().fields().iter().enumerate() {
            let cell = match (row.column(column).is_null(0), cells[column][0].as_str()) {
                (true, _) | (_, "") if own.is_some_and(|own| column <= own) => "-",
                (true, _) => "NULL",
                (_, cell) => cell,
            };
            print::row(&format!("  {:<width$}  {cell}", field.name()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
