//! Ctrl-C and SIGTERM: of a job that has nothing to do, and of one that did not come to its end.

use crate::scene::WORKERS;
use crate::traffic::{Others, Traffic};
use std::fmt::Write;
use tests::Program;
use tests::machine::{SECOND, now, pause};

const SQL: &str = "
CREATE STREAM messages (id BIGINT, user_id BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND) LIVE messages;
CREATE STREAM others (user_id BIGINT, level BIGINT, changed_at TIMESTAMP,
  WATERMARK FOR changed_at AS changed_at - INTERVAL '1' SECOND) LIVE others;
INSERT INTO lake.joined SELECT m.id, a.level FROM messages m
ASOF LEFT JOIN others a ON a.user_id = m.user_id AND a.changed_at <= m.sent_at;
INSERT INTO TOPIC out_topic SELECT id FROM messages;
";

#[test]
fn an_idle_job_ends_within_a_second_of_ctrl_c() {
    let traffic = Traffic::new(Others::Silent, false);
    for workers in WORKERS {
        let project = traffic.project(&format!("idle_{workers}"), SQL);
        let mut program = Program::start(&project, &["run", "--workers", &workers.to_string()]);
        program.ready();
        pause(SECOND / 2);
        let begun = now();
        program.interrupt();
        let ended = program.ended(20 * SECOND).expect("it ends");
        let took = now() - begun;
        assert_eq!(ended.code, Some(0), "{}", ended.told);
        assert!(took <= SECOND, "{workers} workers: it took {} ms", took / 1000);
    }
}

#[test]
fn a_live_job_that_is_asked_to_stop_has_done_its_work() {
    let traffic = Traffic::new(Others::Silent, false);
    for signal in ["INT", "TERM"] {
        let project = traffic.project(&format!("stopped_{signal}").to_lowercase(), SQL);
        let mut program = Program::start(&project, &["run"]);
        program.ready();
        pause(SECOND / 2);
        program.signal(signal);
        let ended = program.ended(20 * SECOND).expect("it ends");
        assert_eq!(ended.code, Some(0), "{signal}: {}", ended.told);
    }
}

#[test]
fn a_bounded_job_that_is_stopped_before_its_end_is_no_success() {
    let traffic = Traffic::new(Others::Empty, false);
    let sql = "CREATE STREAM events (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'events.csv';
        INSERT INTO lake.counted SELECT id, count(*) OVER last AS n FROM events
        WINDOW last AS (PARTITION BY id ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING);";
    for (signal, code, name) in [("INT", 130, "Ctrl-C"), ("TERM", 143, "SIGTERM")] {
        let project = traffic.project(&format!("bounded_{code}"), sql);
        let mut rows = "id,at\n".to_owned();
        for row in 0..3_000_000 {
            writeln!(
                rows,
                "{},2024-01-01T{:02}:{:02}:{:02}Z",
                row % 1000,
                row / 150_000,
                row / 2_500 % 60,
                row / 42 % 60
            )
            .expect("it fits in memory");
        }
        std::fs::write(project.join("events.csv"), rows).expect("the file can be written");
        let mut program = Program::start(&project, &["run"]);
        pause(SECOND / 2);
        program.signal(signal);
        let ended = program.ended(30 * SECOND).expect("it ends");
        assert_eq!(ended.code, Some(code), "{}", ended.told);
        assert!(ended.told.contains(&format!("stopped by {name}")), "{}", ended.told);
        assert!(ended.told.contains("not all inputs were read"), "{}", ended.told);
    }
}
