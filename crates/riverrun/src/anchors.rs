//! Anchors: the subscriptions by which jobs keep what they have not read of topics in Pulsar, as people see them.

use crate::outcome::Outcome;
use crate::{print, show};
use project::{AnchorFacts, AnchorsOf, AnchorsOnTopic, HeldAnchors, PartitionAnchor, Project};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Deletes the anchors of a job that does not run.
pub fn forget(project: &Project, of: AnchorsOf, json: bool) -> Outcome {
    let count = project.forget_anchors(of)?;
    if json {
        print::line(&json!({ "forgotten": count }).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    match count {
        0 => print::note(format_args!("nothing is kept for it in Pulsar")),
        count => print::note(format_args!(
            "{} deleted: nothing is kept for it in Pulsar any more",
            show::counted(i64::from(count), "subscription")
        )),
    }
    Ok(ExitCode::SUCCESS)
}

/// How the anchors of a job stand that says so itself while it runs.
pub fn running_json(held: &HeldAnchors) -> Value {
    let facts = |facts: &Option<AnchorFacts>| facts.as_ref().map_or(Value::Null, facts_json);
    let partitions: Vec<Value> = held.facts().iter().map(facts).collect();
    json!({ "topic": held.topic, "subscription": held.subscription, "partitions": partitions })
}

/// How anchors stand that were looked at.
pub fn as_json(anchors: &AnchorsOnTopic) -> Value {
    let partition = |partition: &PartitionAnchor| match partition {
        PartitionAnchor::Held => json!({ "held": true }),
        PartitionAnchor::NoTopic => json!({ "error": "the topic is not there" }),
        PartitionAnchor::Free(facts) => facts_json(facts),
    };
    let partitions = match &anchors.partitions {
        Ok(partitions) => partitions.iter().map(partition).collect(),
        Err(error) => json!({ "error": error.chain() }),
    };
    json!({ "topic": anchors.topic, "subscription": anchors.subscription, "partitions": partitions })
}

fn facts_json(facts: &AnchorFacts) -> Value {
    json!({ "stands_at": facts.stands_at.map(|at| at.to_string()), "backlog_entries": facts.backlog })
}

/// A line for each topic, of what [`running_json`] or [`as_json`] have said.
pub fn text(anchors: &Value) -> String {
    let topic = anchors["topic"].as_str().unwrap_or_default();
    let subscription = anchors["subscription"].as_str().unwrap_or_default();
    let how = match &anchors["partitions"] {
        Value::Array(partitions) => {
            let backlogs = || partitions.iter().map(|partition| partition["backlog_entries"].as_i64());
            let unknown = backlogs().filter(Option::is_none).count();
            let known: i64 = backlogs().flatten().sum();
            let problem = partitions.iter().find_map(|partition| partition["error"].as_str());
            let held = partitions.iter().any(|partition| partition["held"] == true);
            match (problem, held, unknown) {
                (Some(problem), ..) => problem.to_owned(),
                (_, true, _) => "a consumer holds it".to_owned(),
                (_, _, 0) => format!("entries after its place: {}", show::count(known)),
                _ => {
                    format!("entries after its place: {}, with {unknown} partitions not yet asked", show::count(known))
                }
            }
        }
        other => other["error"].as_str().unwrap_or("unknown").to_owned(),
    };
    format!("  keeps topic {topic} by subscription {subscription}: {how}")
}
