//! Ctrl-C of a job that has nothing to do.

use crate::scene::WORKERS;
use crate::traffic::{Others, Traffic};
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
