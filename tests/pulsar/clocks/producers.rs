//! Producers whose clocks are an hour off.

use super::scene::{Counted, MILLI, Scene, Stored, by_clocks, by_producers, turn};
use super::{all, stamping, without_stamps};
use tests::OtherClock;
use tests::machine::{SECOND, pause};

const HOUR: i64 = 3600 * SECOND;

/// Rows that the rule moves.
fn late(log: &[Vec<Stored>]) -> u64 {
    let of = |rows: &Vec<Stored>| {
        let stamps: Vec<_> = rows.iter().map(|row| row.stamp).collect();
        let times = tests::time_rule::PartitionTimes::new(&stamps, super::scene::DELAY).times;
        times.iter().zip(&stamps).filter(|(time, stamp)| **time != stamp.event).count() as u64
    };
    log.iter().map(of).sum()
}

#[test]
fn by_the_stamps_of_brokers_a_producer_an_hour_ahead_moves_nobody_and_one_behind_holds_nobody_back() {
    let _turn = turn();
    let (Some(broker), Some(clock)) = (stamping(), OtherClock::find()) else { return };
    let scene = Scene::new("stamped", broker, 3, 1);
    let mut right = scene.producer(&[]);
    let [mut behind, mut ahead] = [-HOUR, HOUR].map(|off| scene.producer(&clock.environment(off)));
    for partition in 0..3 {
        scene.send(&mut right, partition, 0);
    }
    let program = scene.run();
    for step in 0..60 {
        match step % 6 {
            0 | 3 => scene.send(&mut right, 0, step % 4 * 150 * MILLI),
            1 => scene.send(&mut right, 1, 0),
            2 => scene.send(&mut behind, 1, 0),
            4 => scene.send(&mut right, 2, 0),
            _ => scene.send(&mut ahead, 2, 0),
        };
        pause(50 * MILLI);
    }
    // The others are silent.
    for _ in 0..20 {
        scene.send(&mut right, 0, 0);
        pause(100 * MILLI);
    }
    let log = scene.log();
    let moved = scene.check(&log, &by_clocks(&log, &[vec![(0, 0)], vec![(0, 0)], vec![(0, 0)]]), &program, 0);
    assert_eq!(moved, [0; 0]);
    let counted = scene.end(program);
    assert_eq!(counted, Counted { joined: 0, late_moved: late(&log) });
    assert!(counted.late_moved >= 10, "{counted:?}");
}

/// All producers have clocks that are behind; the job is killed among their rows, and one partition is silent meanwhile.
fn all_behind(clock: &OtherClock) {
    let Some(broker) = without_stamps() else { return };
    let scene = Scene::new("behind", broker, 2, 1);
    let mut behind = scene.producer(&clock.environment(-HOUR));
    for partition in 0..2 {
        scene.send(&mut behind, partition, 0);
    }
    let mut program = scene.run();
    // Who writes goes on writing: a job that begins takes clocks to be right where nothing comes for a second.
    let mut step = 0;
    let mut write = |silent: Option<u32>| {
        let partition = if silent == Some(1) { 0 } else { step % 2 };
        scene.send(&mut behind, partition, i64::from(step % 3) * 100 * MILLI);
        step += 1;
        pause(80 * MILLI);
    };
    while scene.copies().is_empty() {
        (0..5).for_each(|_| write(None));
    }
    (0..40).for_each(|_| write(Some(1)));
    program.signal("KILL");
    program.ended(10 * SECOND).expect("what is killed ends");
    let program = scene.run();
    (0..50).for_each(|_| write(Some(1)));
    (0..20).for_each(|_| write(None));
    let log = scene.log();
    let restart = 4 * SECOND;
    assert_eq!(scene.check(&log, &by_producers(&log), &program, restart), [0; 0]);
    assert_eq!(scene.end(program).joined, 0);
}

/// One partition has a producer that is ahead, which no other one waits for and which moves no other one.
fn one_ahead(clock: &OtherClock) {
    let Some(broker) = without_stamps() else { return };
    let scene = Scene::new("ahead", broker, 2, 1);
    let (mut right, mut ahead) = (scene.producer(&[]), scene.producer(&clock.environment(HOUR)));
    scene.send(&mut right, 0, 0);
    scene.send(&mut ahead, 1, 0);
    let program = scene.run();
    for step in 0..50 {
        if step % 3 == 1 && step < 30 {
            scene.send(&mut ahead, 1, 0)
        } else {
            scene.send(&mut right, 0, 0)
        };
        pause(80 * MILLI);
    }
    let log = scene.log();
    assert_eq!(scene.check(&log, &by_producers(&log), &program, 0), [0; 0]);
    assert_eq!(scene.end(program), Counted { joined: 0, late_moved: 0 });
}

/// Two producers share a partition, and one of them is behind: its rows are late.
fn mixed(clock: &OtherClock) {
    let Some(broker) = without_stamps() else { return };
    let scene = Scene::new("mixed", broker, 2, 1);
    let (mut right, mut behind) = (scene.producer(&[]), scene.producer(&clock.environment(-HOUR)));
    for partition in 0..2 {
        scene.send(&mut right, partition, 0);
    }
    let program = scene.run();
    for step in 0..50 {
        match step % 3 {
            0 => scene.send(&mut right, 0, 0),
            1 => scene.send(&mut right, 1, 0),
            _ => scene.send(&mut behind, 1, 0),
        };
        pause(80 * MILLI);
    }
    let log = scene.log();
    assert_eq!(scene.check(&log, &by_producers(&log), &program, 0), [0; 0]);
    assert_eq!(scene.end(program), Counted { joined: 0, late_moved: late(&log) });
}

/// All rows were published an hour ago but for those of one partition, which come after a restart.
fn quiet(clock: &OtherClock) {
    let Some(broker) = without_stamps() else { return };
    let scene = Scene::new("quiet", broker, 2, 1);
    let (mut right, mut earlier) = (scene.producer(&[]), scene.producer(&clock.environment(-HOUR)));
    for step in 0..10 {
        scene.send(&mut earlier, step % 2, 0);
        pause(20 * MILLI);
    }
    let program = scene.run();
    scene.wait_for(1, &program);
    assert_eq!(scene.end(program).joined, 0);
    let program = scene.run();
    for _ in 0..40 {
        scene.send(&mut right, 0, 0);
        pause(80 * MILLI);
    }
    let log = scene.log();
    let restart = 3 * SECOND;
    assert_eq!(scene.check(&log, &by_clocks(&log, &[vec![(0, 0)], vec![(0, 0)]]), &program, restart), [0; 0]);
    assert_eq!(scene.end(program), Counted { joined: 0, late_moved: 0 });
}

#[test]
fn without_stamps_a_producer_an_hour_ahead_moves_no_other_partition_and_silence_is_counted_from_the_last_message() {
    let _turn = turn();
    let (Some(_), Some(clock)) = (without_stamps(), OtherClock::find()) else { return };
    let first: &[fn(&OtherClock)] = &[all_behind, one_ahead];
    let more: &[fn(&OtherClock)] = &[mixed, quiet];
    for cases in if all() { vec![first, more] } else { vec![first] } {
        std::thread::scope(|scope| cases.iter().for_each(|case| drop(scope.spawn(|| case(&clock)))));
    }
}
