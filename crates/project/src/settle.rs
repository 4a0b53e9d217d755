//! Where the sinks of a job go on.

use crate::going_on::GoingOn;
use crate::output::{Claims, WiredSink};
use crate::takeover::UnwrittenRows;
use checkpoint::OutputCut;
use dataflow::{Error, EventTime, Output, OutputState, RestoredJob, Result, Sink};

/// Lets sinks go on where they are to: what a checkpoint holds is durable, and what it had prepared is committed before
/// anything new is.
pub fn settle(
    sinks: Vec<WiredSink>,
    from: Option<EventTime>,
    going_on: Option<&GoingOn>,
    claims: Option<&Claims>,
) -> Result<Vec<WiredSink>> {
    let settled = |mut sink: WiredSink| {
        sink.after = sink.after.max(from.unwrap_or(EventTime::MIN));
        let Some(going_on) = going_on else { return Ok(sink) };
        if sink.replay > 0 && going_on.takeover.is_some() {
            return Err(written_since(&sink));
        }
        if let Some(cut) = going_on.cuts().iter().find(|cut| cut.output == sink.node) {
            sink = leave_out(sink, cut);
        }
        let Some(OutputState { pending, .. }) = going_on.output(&sink.node) else { return Ok(sink) };
        if !pending.is_empty() {
            sink.committer.commit(pending.clone())?;
        }
        if let (Output::Table(table), Some(claims)) = (&sink.output, claims) {
            claims.get(table).map(|claim| claim.collect_orphans(pending)).transpose()?;
        }
        Ok(sink)
    };
    sinks.into_iter().map(settled).collect()
}

/// What a run goes on from once its sinks are settled: no table has anything pending, and of each it is known up to which
/// checkpoint it holds rows. Checkpoints that went on naming what is committed would have it committed again, once the
/// snapshots that tell of it have expired.
pub fn committed(restored: RestoredJob, sinks: &[WiredSink], claims: Option<&Claims>) -> Result<RestoredJob> {
    let settled = |mut output: OutputState| {
        let sink = sinks.iter().find(|sink| sink.node == output.output);
        let table = sink.and_then(|sink| match &sink.output {
            Output::Table(table) => Some(table),
            _ => None,
        });
        if let (false, Some(claim)) = (output.pending.is_empty(), table.and_then(|table| claims?.get(table))) {
            output.known = claim.checkpoint()?;
            output.pending.clear();
        }
        Ok(output)
    };
    let outputs = restored.outputs.into_iter().map(settled).collect::<Result<_>>()?;
    Ok(RestoredJob { outputs, ..restored })
}

/// Leaves out what an earlier plan of the job has written.
fn leave_out(sink: WiredSink, OutputCut { after, messages, .. }: &OutputCut) -> WiredSink {
    let after = sink.after.max(*after);
    if messages.is_empty() {
        return WiredSink { after, ..sink };
    }
    let (inner, written) = (sink.writer, messages.clone());
    let writer = move |worker| Ok(Box::new(UnwrittenRows::after(written.clone(), inner(worker)?)) as Box<dyn Sink>);
    WiredSink { writer: Box::new(writer), after, ..sink }
}

/// The job was not stopped where its checkpoint says.
fn written_since(sink: &WiredSink) -> Error {
    Error::invalid(format!(
        "topic {} holds {} rows that were written after the checkpoint, so the job cannot go on as it is now: run the \
         pipelines as they were once more, and end that run with `riverrun stop` or Ctrl-C",
        sink.name, sink.replay
    ))
}
