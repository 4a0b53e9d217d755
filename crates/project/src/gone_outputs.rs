//! Tables that a job whose pipelines have changed writes no more: what it had prepared for them is theirs.

use crate::open::Project;
use crate::output::producer_name;
use checkpoint::JobPlan;
use connector_iceberg::TableClaim;
use dataflow::{Committer, OutputState, Result};

/// The outputs of a job that another plan of it does not have, and for which something is prepared.
pub fn gone<'a>(before: &JobPlan, outputs: &'a [OutputState], now: &JobPlan) -> Vec<&'a OutputState> {
    let goes_on = |state: &OutputState| before.output(&state.output).is_some_and(|was| now.same_output(was).is_some());
    outputs.iter().filter(|state| !state.pending.is_empty() && !goes_on(state)).collect()
}

/// Commits what a job has prepared for tables that it writes no more, which nobody else would: a checkpoint is durable before
/// its rows are committed. What is in the tables already is not committed again, and a table that was dropped wants nothing,
/// whatever has its name by now: such tables are not claimed, so that it does not matter who writes them.
pub(crate) fn commit_gone<'a>(project: &Project, gone: impl IntoIterator<Item = &'a OutputState>) -> Result<()> {
    for state in gone {
        let table = state.output.strip_prefix("into ").unwrap_or(&state.output);
        commit(project, table, state).map_err(|error| {
            error.context(format!(
                "the job writes table {table} no more, and has rows for it that are to be committed first"
            ))
        })?;
    }
    Ok(())
}

fn commit(project: &Project, table: &str, state: &OutputState) -> Result<()> {
    let (warehouse, sink) = (project.warehouse()?, producer_name(project, table));
    let Some(schema) = warehouse.awaits_commit(table, &sink, state)? else { return Ok(()) };
    let mut claim = warehouse.claim(table, &sink)?;
    claim.keep_staged();
    let pending = claim.go_on(&schema, state)?;
    claim.commit(pending)?;
    TableClaim::take_places([&claim])
}
