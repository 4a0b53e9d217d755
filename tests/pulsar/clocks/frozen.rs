//! A broker that stands still while messages are published.

use super::scene::{MILLI, Scene, by_clocks, turn};
use super::stamping;
use connector_pulsar::standalone::Standalone;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::machine::{SECOND, pause};

const FROZEN: i64 = 2 * SECOND;

fn signal(broker: &Standalone, name: &str) {
    let process = broker.process().expect("it runs").to_string();
    let sent = Command::new("pkill").args([&format!("-{name}"), "-P", &process, "-x", "java"]).status();
    assert!(sent.is_ok_and(|sent| sent.success()), "the broker cannot be signalled");
}

#[test]
fn a_broker_that_stands_still_while_messages_are_published_moves_no_row_that_is_not_counted() {
    let _turn = turn();
    let Some(broker) = stamping() else { return };
    let scene = Scene::new("frozen", broker, 3, 1);
    let mut producer = scene.producer(&[]);
    for partition in 0..3 {
        scene.send(&mut producer, partition, 0);
    }
    let program = scene.run();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The third partition is silent, so that the others wait for what the broker says of it.
            pause(3 * SECOND);
            signal(broker, "STOP");
            pause(FROZEN);
            signal(broker, "CONT");
            pause(2 * SECOND);
            is_over.store(true, Ordering::Relaxed);
        });
        let mut partition = 0;
        while !is_over.load(Ordering::Relaxed) {
            scene.send(&mut producer, partition, 0);
            partition = (partition + 1) % 2;
            pause(20 * MILLI);
        }
        scene.send(&mut producer, 2, 0);
    });
    let log = scene.log();
    let moved = scene.check(&log, &by_clocks(&log, &[vec![(0, 0)], vec![(0, 0)], vec![(0, 0)]]), &program, FROZEN);
    assert_eq!(scene.end(program).joined, moved.len() as u64, "{moved:?}");
}
