//! A restart on a topic that was quiet for an hour by the clock of its broker.

use super::scene::{MILLI, Scene, by_clocks, turn};
use super::{SETTINGS, all, cache};
use connector_pulsar::standalone::Standalone;
use tests::machine::{SECOND, now, pause};
use tests::{Broker, OtherClock};

const HOUR: i64 = 3600 * SECOND;

#[test]
fn a_job_that_goes_on_after_a_quiet_hour_holds_nobody_back_for_it() {
    let _turn = turn();
    if !all() || !Broker::is_possible() {
        return;
    }
    let Some(clock) = OtherClock::find() else { return };
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("clock");
    std::fs::write(&file, "-3600").unwrap();
    let environment = clock.following(&file);
    let broker = Standalone::start_in(&environment, &cache(), &data.path().join("broker"), SETTINGS).unwrap();
    let scene = Scene::new("hour", &broker, 2, 1);
    let mut producer = scene.producer(&environment);
    for step in 0..20 {
        scene.send(&mut producer, step % 2, 0);
        pause(20 * MILLI);
    }
    let program = scene.run();
    scene.wait_for(18, &program);
    assert_eq!(scene.end(program).joined, 0);
    // An hour goes by, for the broker and for those who publish.
    let moved = now();
    std::fs::write(&file, "+0").unwrap();
    pause(3 * SECOND);
    let program = scene.run();
    for _ in 0..60 {
        scene.send(&mut producer, 0, 0);
        pause(80 * MILLI);
    }
    let log = scene.log();
    let clocks = vec![(0, -HOUR), (moved, 0)];
    let restart = 3 * SECOND;
    assert_eq!(scene.check(&log, &by_clocks(&log, &[clocks.clone(), clocks]), &program, restart), [0; 0]);
    assert_eq!(scene.end(program).joined, 0);
}
