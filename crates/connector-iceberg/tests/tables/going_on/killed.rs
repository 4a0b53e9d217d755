//! A job that is killed at any moment, by seed.

use super::*;

/// Numbers by a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn runs_that_are_killed_anywhere_write_each_row_once() {
    for seed in 0..20 {
        let mut chance = Chance(seed);
        let folder = tempfile::tempdir().unwrap();
        let warehouse = open(folder.path());
        let mut first = Run::begin(&warehouse, false);
        let mut kept = first.checkpoint();
        let mut running = Some(first);
        for _ in 0..40 {
            let mut run = match running.take() {
                Some(run) => run,
                None => Run::go_on(&warehouse, &kept).unwrap_or_else(|error| panic!("seed {seed}: {}", error.chain())),
            };
            match chance.below(8) {
                0..=2 => run.write(1 + chance.below(20) as i64),
                3 => kept = run.checkpoint(),
                // A checkpoint that is given up: its files stay pending.
                4 => drop(run.checkpoint()),
                // Only what a durable checkpoint has pending is committed.
                5 | 6 => {
                    let durable = run.pending.iter().filter(|(number, _)| *number <= kept.number).count();
                    if durable > 0 {
                        let count = 1 + chance.below(durable as u64) as usize;
                        run.commit(count, chance.below(3) > 0);
                    }
                }
                _ => {
                    run.die();
                    continue;
                }
            }
            running = Some(run);
        }
        drop(running);
        let mut run = Run::go_on(&warehouse, &kept).unwrap_or_else(|error| panic!("seed {seed}: {}", error.chain()));
        run.write(10);
        let kept = run.checkpoint();
        run.commit(run.pending.len(), true);
        drop(run);
        drop(Run::go_on(&warehouse, &kept).unwrap());
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..kept.next).collect::<Vec<_>>(), "seed {seed}");
        let named = warehouse.read("lake.t").unwrap().files().len();
        assert_eq!(data_files(folder.path()).len(), named, "seed {seed}: files without a name are left");
    }
}
