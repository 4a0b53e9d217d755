//! A partition whose next row is old, and one that gets its first row late.

use super::scene::{DELAY, MILLI, Scene, by_clocks, turn};
use super::stamping;
use tests::machine::{SECOND, pause};

#[test]
fn an_old_row_of_a_silent_partition_is_moved_by_the_rule_and_the_first_row_of_another_is_counted_as_joined() {
    let _turn = turn();
    let Some(broker) = stamping() else { return };
    let scene = Scene::new("old", broker, 3, 1);
    let mut producer = scene.producer(&[]);
    for partition in 0..2 {
        scene.send(&mut producer, partition, 0);
    }
    let program = scene.run();
    let (mut first_late, mut old) = (Vec::new(), Vec::new());
    for step in 0..80 {
        scene.send(&mut producer, 0, 0);
        match step {
            40 | 44 => old.push(scene.send(&mut producer, 1, 10 * SECOND)),
            // The partition shows its first row, long after the others, and that row is old.
            50 | 55 => first_late.push(scene.send(&mut producer, 2, 10 * SECOND)),
            60 => first_late.push(scene.send(&mut producer, 2, 0)),
            _ => {}
        }
        pause(80 * MILLI);
    }
    let log = scene.log();
    let partitions = by_clocks(&log, &[vec![(0, 0)], vec![(0, 0)], vec![(0, 0)]]);
    // Whoever joins waits for a checkpoint, and has then to be silent before it holds nobody back.
    let moved = scene.check(&log, &partitions, &program, SECOND + DELAY);
    assert!(moved.iter().all(|id| first_late.contains(id)), "{moved:?} are not of {first_late:?}");
    assert!(moved.contains(&first_late[0]), "{moved:?}");
    let copies = scene.copies();
    assert!(old.iter().all(|id| copies[id].is_late), "{copies:?}");
    assert_eq!(scene.end(program).joined, moved.len() as u64, "{moved:?}");
}
