//! Inputs one after the other, in a child whose limits are watched.

use super::input::Input;
use super::target::Target;
use super::{mutant, trial};
use crate::failure;
use crate::watched::{Event, Watched, found};
use dataflow::{Error, Result};
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use tests::Chance;

/// How many seconds of CPU one input may take.
const CPU_S_MAX: f64 = 5.0;
/// After so much silence it is looked at what the child does, and so often it may do nothing at all.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS_MAX: u32 = 240;
/// How much memory the child may have.
const MEMORY_KIB_MAX: u64 = 2 << 20;
/// Inputs that are changed further, beside the stored ones.
const KEPT_MAX: usize = 4096;
/// Greater ones are tried and not kept: their mutants take long.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Where the child puts an input before it tries it.
const LAST: &str = "last";

/// Tries inputs for so long; whether all kept within the limits.
#[expect(clippy::disallowed_methods, reason = "a chore measures time")]
pub fn run(target: Target, time: Duration, seed: u64) -> Result<bool> {
    let (begin, folder) = (Instant::now(), found().join(format!("{}-{seed}-{}", target.name(), std::process::id())));
    let (mut counts, mut wrong, mut children) = (Counts::default(), 0u64, 0u64);
    while begin.elapsed() < time {
        let arguments = ["fuzz-inputs".to_owned(), target.name().to_owned(), (seed + children).to_string()];
        let arguments = [arguments.as_slice(), &[folder.display().to_string()]].concat();
        let mut child = Watched::start(&arguments, Some(MEMORY_KIB_MAX))?;
        children += 1;
        let (before, mut silent) = (counts, None);
        let why = loop {
            if begin.elapsed() >= time {
                break None;
            }
            match child.next(LOOK)? {
                Event::Line(line) => {
                    counts = before.and(Counts::heard(&line)?);
                    silent = None;
                }
                Event::Silent => {
                    let (looks, cpu_s) = silent.unwrap_or((0, child.cpu_s()?));
                    if child.cpu_s()? - cpu_s > CPU_S_MAX || looks > LOOKS_MAX {
                        break Some(format!("not done after {CPU_S_MAX} s"));
                    }
                    silent = Some((looks + 1, cpu_s));
                }
                Event::Ended(status) => break Some(format!("the process ended: {status}")),
            }
        };
        drop(child);
        if let Some(why) = why {
            wrong += 1;
            println!("{}: {why}: {}", target.name(), keep(&folder, target, wrong)?);
            // Stored inputs come first, and one of them alone would keep all others from being tried.
            if wrong > 20 {
                break;
            }
        }
    }
    let Counts { inputs, accepted, outcomes, steps } = counts;
    let a_second = (inputs as f64 / begin.elapsed().as_secs_f64()).round();
    let steps = if steps > 0 { format!(", {steps} different steps") } else { String::new() };
    println!(
        "{}: {inputs} inputs ({a_second} a second), {accepted} accepted, {outcomes} different outcomes{steps}, \
         {wrong} beyond the limits",
        target.name()
    );
    Ok(wrong == 0)
}

/// Copies the last input to where it stays.
fn keep(folder: &Path, target: Target, number: u64) -> Result<String> {
    let list = std::fs::read_dir(folder).map_err(|error| failure::file("read", folder, error))?;
    let named =
        |path: &std::path::PathBuf| path.file_stem().is_some_and(|name| name.to_string_lossy().starts_with(LAST));
    let last = list.filter_map(|entry| Some(entry.ok()?.path())).find(named);
    let last = last.ok_or_else(|| Error::internal(format!("{} has no input", folder.display())))?;
    Ok(Input::read(&last)?.write(&found(), &format!("{}-found-{number}", target.name()))?.display().to_string())
}

/// How many inputs there were, were accepted, and what came of them: outcomes, and steps where a target has some.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    inputs: u64,
    accepted: u64,
    outcomes: u64,
    steps: u64,
}

impl Counts {
    fn heard(line: &str) -> Result<Counts> {
        let numbers: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        match numbers[..] {
            [inputs, accepted, outcomes, steps] => Ok(Counts { inputs, accepted, outcomes, steps }),
            _ => Err(Error::internal(format!("the child says {line:?}, expected four numbers"))),
        }
    }

    /// With those of a later child, whose outcomes are much the same.
    fn and(self, other: Counts) -> Counts {
        Counts {
            inputs: self.inputs + other.inputs,
            accepted: self.accepted + other.accepted,
            outcomes: self.outcomes.max(other.outcomes),
            steps: self.steps.max(other.steps),
        }
    }
}

/// Tries stored inputs, then mutants, until it is ended; says after each how many it has tried.
pub fn child(target: Target, seed: u64, folder: &Path) -> Result<()> {
    let mut inputs = target.corpus()?;
    let stored = inputs.clone();
    let mut tried = trial::Place::open(target, folder)?;
    let (mut counts, mut outcomes, mut steps) = (Counts::default(), HashSet::new(), HashSet::new());
    let mut said = std::io::stdout().lock();
    let mut chance = Chance::new(crate::random::mix(seed));
    loop {
        let input = match stored.get(counts.inputs as usize) {
            Some(input) => input.clone(),
            None => mutant::mutant(target, &inputs, stored.len(), &mut chance),
        };
        for other in std::fs::read_dir(folder).map_err(|error| failure::file("read", folder, error))? {
            let path = other.map_err(|error| failure::file("read", folder, error))?.path();
            if path.is_file() {
                std::fs::remove_file(&path).map_err(|error| failure::file("remove", &path, error))?;
            }
        }
        let path = input.write(folder, LAST)?;
        let outcome = tried.try_out(&input, &path)?;
        counts.inputs += 1;
        counts.accepted += u64::from(outcome.accepted);
        let is_new = outcomes.insert(trial::signature(&outcome.said));
        let before = steps.len();
        steps.extend(outcome.steps);
        (counts.outcomes, counts.steps) = (outcomes.len() as u64, steps.len() as u64);
        if is_new || steps.len() > before {
            if inputs.len() < KEPT_MAX && input.bytes.len() <= KEPT_BYTES_MAX {
                inputs.push(input);
            }
        }
        let Counts { inputs, accepted, outcomes, steps } = counts;
        if writeln!(said, "{inputs} {accepted} {outcomes} {steps}").and_then(|()| said.flush()).is_err() {
            // Nobody listens any more.
            return Ok(());
        }
    }
}
