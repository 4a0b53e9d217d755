//! What a job costs that has nothing to do.

use connector_local::{Outgoing, Topics};
use dataflow::EventTime;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use tests::Program;
use tests::machine::{Machine, SECOND, now, pause};

const STREAMS: usize = 4;
const PARTITIONS: u32 = 4;
/// When the quiet rule has released what was there at the start.
const SETTLE: i64 = 5 * SECOND;
const IDLE: i64 = 5 * SECOND;
/// System calls are counted for so long.
const TRACED_SECONDS: u32 = 3;
/// Of one core, in percent.
const CPU_MAX: f64 = 1.0;
/// A second.
const CALLS_MAX: f64 = 200.0;

fn sql() -> String {
    let mut sql = String::new();
    for stream in 0..STREAMS {
        write!(
            sql,
            "CREATE STREAM s{stream} (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) LIVE s{stream};\n"
        )
        .expect("text can be written");
    }
    sql + "INSERT INTO TOPIC joined SELECT a.id, b.id AS b_id, c.id AS c_id,
      (SELECT count(*) FROM s3 d WHERE d.id = a.id AND d.at BETWEEN a.at - INTERVAL '1' HOUR AND a.at) AS n
      FROM s0 a ASOF LEFT JOIN s1 b ON b.id = a.id AND b.at <= a.at ASOF LEFT JOIN s2 c ON c.id = a.id AND c.at <= a.at;\n"
}

/// A message on every partition of every topic, and with the first of them one that lies an hour ahead: it waits for
/// its time, and nothing is asked for it before.
fn publish(topics: &Topics) {
    for stream in 0..STREAMS {
        let topic = format!("s{stream}");
        topics.create(&topic, PARTITIONS).expect("the topic can be made");
        let mut producer = topics.producer(&topic, "", 0).expect("the topic is there");
        for partition in 0..PARTITIONS {
            let payload = |ahead: i64| format!(r#"{{"id":{partition},"at":"{}"}}"#, EventTime(now() + ahead));
            let payloads = [payload(0), payload(3600 * SECOND)];
            let messages = payloads.iter().enumerate().map(|(sequence, payload)| Outgoing {
                sequence: sequence as u64,
                key: None,
                payload: payload.as_bytes(),
                arrived: None,
            });
            let count = if (stream, partition) == (0, 0) { 2 } else { 1 };
            let messages: Vec<_> = messages.take(count).collect();
            producer.append(partition, &messages).expect("the messages are written");
        }
    }
}

#[test]
fn an_idle_job_costs_nothing() {
    let folder = tempfile::tempdir().expect("a folder for the test can be made");
    let topics = Topics::open(folder.path().join("topics"), Arc::new(Machine)).expect("the topics open");
    publish(&topics);
    std::fs::create_dir(folder.path().join("pipelines")).expect("the project can be written");
    std::fs::write(folder.path().join("pipelines/all.sql"), sql()).expect("the project can be written");
    std::fs::write(folder.path().join("riverrun.toml"), "[project]\nname = \"idle\"\n").expect("it can be written");
    let mut program = Program::start(folder.path(), &["run", "--workers", "2"]);
    program.ready();
    pause(SETTLE);
    let (before, begun) = (program.taken(), now());
    pause(IDLE);
    let (after, took) = (program.taken(), (now() - begun) as f64);
    let cpu = (after.cpu - before.cpu) as f64 * 100.0 / took;
    let switches = (after.switches - before.switches) as f64 * SECOND as f64 / took;
    let calls = program.system_calls(TRACED_SECONDS);
    let told =
        calls.map_or("not counted, since strace is not there".to_owned(), |calls| format!("{calls:.0} a second"));
    let told = format!("idle: {cpu:.2} % of a core, {switches:.0} voluntary switches a second, system calls {told}");
    let _ = writeln!(std::io::stderr(), "  {told}");
    assert!(program.ended(0).is_none(), "it ended by itself: {}", program.told());
    assert!(cpu < CPU_MAX, "{told}");
    // A thread that waits gives up the CPU once per call that waits: at least so many system calls were made.
    assert!(switches < CALLS_MAX, "{told}");
    assert!(calls.is_none_or(|calls| calls < CALLS_MAX), "{told}");
    program.interrupt();
    let ended = program.ended(20 * SECOND).expect("it ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
}
