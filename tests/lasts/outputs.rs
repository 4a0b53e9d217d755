//! What came out of a job, against what came out of a run that nobody disturbed.

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use dataflow::{EventTime, Fate, Fates};
use project::Project;
use std::collections::BTreeMap;
use tests::{all_rows, table_rows, told};

/// Compares tables row by row, and what was decided.
pub fn check_outputs(found: &Project, oracle: &Project, start: EventTime, what: &str) {
    for table in ["lake.counted", "lake.labelled"] {
        let rows = |project: &Project| table_rows(&project.warehouse().unwrap(), table);
        assert_eq!(rows(found), rows(oracle), "{what}: {table}");
    }
    check_decisions(found, oracle, start, what);
}

/// Compares the decision's log row by row, and the topic of actions, where it begins after `start`, message by message.
pub fn check_decisions(found: &Project, oracle: &Project, start: EventTime, what: &str) {
    let (of_found, of_oracle) = (decided(found), decided(oracle));
    assert_eq!(texts(&of_found), texts(&of_oracle), "{what}: guard__log");
    let acts = |row: &&Decided| row.action.is_some() && EventTime(row.time) > start;
    let mut wanted: Vec<&str> = of_oracle.iter().filter(acts).map(|row| row.id.as_str()).collect();
    // The oracle's own are the last ones.
    let mut published = published(found);
    let of_oracles = published.pop_last().map_or(0, |(_, ids)| ids.len());
    let mut published: Vec<&str> = published.values().flatten().map(String::as_str).collect();
    wanted.sort_unstable();
    published.sort_unstable();
    assert_eq!(published, wanted, "{what}: topic actions");
    check_counts(found, published.len(), what);
    check_counts(oracle, of_oracles, what);
}

/// Compares the topic of actions, where it begins after `start`, with the decision's own log: each that was taken is there,
/// once, wherever its rows were placed.
pub fn check_actions(project: &Project, start: EventTime, what: &str) {
    let taken = decided(project);
    let acts = taken.iter().filter(|row| row.action.is_some() && EventTime(row.time) > start);
    let mut wanted: Vec<&str> = acts.map(|row| row.id.as_str()).collect();
    let published = published(project);
    let mut published: Vec<&str> = published.values().flatten().map(String::as_str).collect();
    wanted.sort_unstable();
    published.sort_unstable();
    assert_eq!(published, wanted, "{what}: topic actions");
    check_counts(project, published.len(), what);
}

/// What the last checkpoint says of rows is what is on the topics and in the tables, over all runs of the job.
fn check_counts(project: &Project, published: usize, what: &str) {
    let newest = checkpoint::look(&project.checkpoints_path(None)).unwrap().expect("there are checkpoints");
    let counts = |of: &[(String, Fates)]| -> BTreeMap<String, Fates> { of.iter().cloned().collect() };
    let (streams, steps) = (counts(&newest.rows.streams), counts(&newest.rows.steps));
    for topic in ["messages", "reports"] {
        let there = project.tail(topic, true).map_err(told).unwrap().next(1_000_000).unwrap().len();
        let fates = &streams[topic];
        let gone = [Fate::LateDropped, Fate::Quarantined, Fate::Bad, Fate::DeadLettered];
        let gone: i64 = gone.into_iter().map(|fate| fates.of(fate)).sum();
        assert_eq!(fates.of(Fate::In), there as i64, "{what}: {topic}: {fates:?}");
        assert_eq!(fates.of(Fate::Out) + gone, there as i64, "{what}: {topic}: {fates:?}");
    }
    let written = |output: &str| steps.get(&format!("into {output}")).map_or(0, |fates| fates.of(Fate::Out)) as usize;
    for table in ["lake.counted", "lake.labelled", "guard__log"] {
        let there: usize = all_rows(&project.warehouse().unwrap(), table).iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(written(table), there, "{what}: {table}: {steps:?}");
    }
    assert_eq!(written("actions"), published, "{what}: actions: {steps:?}");
}

/// Of a row of the decision's log what does not depend on where outputs begin.
struct Decided {
    id: String,
    time: i64,
    subject: i64,
    action: Option<String>,
}

/// The decision's log, as lines of text in their sequence.
pub fn decided_texts(project: &Project) -> Vec<String> {
    texts(&decided(project))
}

fn texts(rows: &[Decided]) -> Vec<String> {
    let text = |row: &Decided| format!("{} {} {} {:?}", row.id, row.time, row.subject, row.action);
    let mut texts: Vec<String> = rows.iter().map(text).collect();
    texts.sort_unstable();
    texts
}

fn decided(project: &Project) -> Vec<Decided> {
    let mut rows = Vec::new();
    for batch in all_rows(&project.warehouse().unwrap(), "guard__log") {
        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        let text = |name: &str| -> StringArray { column(name).as_string().clone() };
        let subjects = column("subject").as_primitive::<Int64Type>().clone();
        let times = column("time").as_primitive::<TimestampMicrosecondType>().clone();
        let (ids, actions) = (text("decision_id"), text("action"));
        rows.extend((0..batch.num_rows()).map(|row| Decided {
            id: ids.value(row).to_owned(),
            time: times.value(row),
            subject: subjects.value(row),
            action: actions.is_valid(row).then(|| actions.value(row).to_owned()),
        }));
    }
    rows
}

/// The ids of decisions on the topic of actions, by the epoch of their producer.
pub fn published(project: &Project) -> BTreeMap<u64, Vec<String>> {
    let mut by_epoch = BTreeMap::<u64, Vec<String>>::new();
    if project.topics().unwrap().topic("actions").unwrap().is_none() {
        return by_epoch;
    }
    let rows = project.tail("actions", true).map_err(told).unwrap().next(1_000_000).unwrap();
    let id = |payload: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(payload).unwrap();
        value["decision_id"].as_str().unwrap().to_owned()
    };
    for row in rows {
        let (_, epoch) = row.producer.unwrap();
        by_epoch.entry(epoch.unwrap()).or_default().push(id(&row.message.payload));
    }
    by_epoch
}
