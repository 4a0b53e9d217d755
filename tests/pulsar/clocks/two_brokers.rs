//! Topics that go from one broker to another one whose clock differs.

use super::scene::{MILLI, Scene, Stored, ask, by_clocks, turn};
use super::{SETTINGS, all, cache};
use connector_pulsar::standalone::Standalone;
use tests::machine::{SECOND, now, pause};
use tests::{Broker, OtherClock};

const PARTITIONS: u32 = 6;

/// The bundle of a partition, and which partitions are in it.
fn bundle(scene: &Scene, broker: &Standalone) -> (String, Vec<bool>) {
    let of = |partition: u32| {
        let path = scene.partition(partition).replace("://", "/");
        let (status, body) = broker.admin().get(&format!("/lookup/v2/topic/{path}/bundle")).unwrap();
        assert_eq!(status, 200, "{body}");
        body
    };
    let first = of(1);
    let is_in = (0..PARTITIONS).map(|partition| of(partition) == first).collect();
    (first, is_in)
}

/// A broker whose clock is ahead by so much takes a part of the partitions over, some of which have been silent. Gives
/// how many rows came elsewhere than the rule alone has them.
fn taken_over([first, second]: &[Standalone; 2], name: &str, ahead: i64) -> usize {
    // Who is asked for a topic that no broker has takes it: clients ask the second one, and the first has it before. The
    // second has made the topics, and with them has taken some of the bundles that partitions are in.
    let scene = Scene::new(name, second, PARTITIONS, 4);
    ask(second, "PUT", &format!("namespaces/{}/unload", scene.namespace()), "");
    for partition in 0..PARTITIONS {
        let path = scene.partition(partition).replace("://", "/");
        assert_eq!(first.admin().get(&format!("/lookup/v2/topic/{path}")).unwrap().0, 200);
    }
    let (bundle, moves) = bundle(&scene, first);
    let mut producer = scene.producer(&[]);
    for partition in 0..PARTITIONS {
        scene.send(&mut producer, partition, 0);
    }
    let program = scene.run();
    let rows = |producer: &mut _, steps: i64, silent: u32| {
        for step in 0..steps {
            let partition = (step % i64::from(PARTITIONS)) as u32;
            if partition != silent {
                scene.send(producer, partition, 0);
            }
            pause(40 * MILLI);
        }
    };
    rows(&mut producer, 60, PARTITIONS);
    // One that moves is silent before that, and has a row as soon as the other broker has it: an old one, which is where the
    // log has it only if nobody has said by the clock before that the partition's time had passed it.
    rows(&mut producer, 75, 1);
    let begun = now();
    ask(first, "PUT", &format!("namespaces/{}/{bundle}/unload", scene.namespace()), "");
    scene.send(&mut producer, 1, 3 * SECOND);
    let took = now() - begun;
    // Until the clock of the broker that is behind has come to where the other one was.
    rows(&mut producer, 160, PARTITIONS);
    let log = scene.log();
    check_stamps(&log, &moves, ahead);
    // A question that is asked just before may find the topic with the clock that is behind.
    let from = if ahead < 0 { begun - SECOND / 10 } else { begun + took };
    let clocks: Vec<_> = moves.iter().map(|moves| clocks(*moves, from, ahead)).collect();
    // While it moves nobody says how far it is drained.
    let moved = scene.check(&log, &by_clocks(&log, &clocks), &program, took);
    assert_eq!(scene.end(program).joined, moved.len() as u64, "{moved:?}");
    moved.len()
}

fn clocks(moves: bool, from: i64, ahead: i64) -> Vec<(i64, i64)> {
    if moves { vec![(0, 0), (from, ahead)] } else { vec![(0, 0)] }
}

/// The brokers' clocks are those that were asked for: of the last rows of a partition the one that was heard of soonest
/// shows that.
fn check_stamps(log: &[Vec<Stored>], moves: &[bool], ahead: i64) {
    for (rows, moves) in log.iter().zip(moves) {
        let last = rows.iter().rev().take(8).map(|row| row.stamp.arrival - row.there);
        let (differs, expected) = (last.max().unwrap(), if *moves { ahead } else { 0 });
        assert!((differs - expected).abs() < 40 * MILLI, "{differs}, not {expected}");
    }
    assert!(moves[1] && moves.contains(&false), "{moves:?}");
}

#[test]
fn rows_of_topics_that_go_to_a_broker_whose_clock_differs_are_moved_beyond_the_margin_alone() {
    let _turn = turn();
    if !all() || !Broker::is_possible() {
        return;
    }
    let Some(clock) = OtherClock::find() else { return };
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("clock");
    std::fs::write(&file, "-0.1").unwrap();
    let environments = [&[][..], &clock.following(&file)];
    let brokers = Standalone::start_two(environments, &cache(), data.path(), SETTINGS).unwrap();
    assert_eq!(taken_over(&brokers, "behind-a-little", -SECOND / 10), 0);
    for (name, ahead, text) in
        [("behind", -5 * SECOND, "-5"), ("ahead-a-little", SECOND / 10, "+0.1"), ("ahead", 5 * SECOND, "+5")]
    {
        std::fs::write(&file, text).unwrap();
        pause(3 * SECOND);
        let moved = taken_over(&brokers, name, ahead);
        assert_eq!(moved > 0, ahead == -5 * SECOND, "{name}: {moved} rows");
    }
}
