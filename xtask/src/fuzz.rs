//! `fuzz onnx`: broken model files, one after the other. Each is refused, or scores within the limits.
//!
//! Before a file is tried it is written beside the others, so that one that ends this process is there to look at.

use crate::failure;
use crate::random::Draws;
use arrow::array::Array;
use dataflow::{Error, Result, Scorer};
use model::Model;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The rows that a model which loads must score.
const ROWS: usize = 130;
/// How long one file may take.
const EACH_MAX: Duration = Duration::from_secs(5);
/// How much memory this process may ever have had.
const MEMORY_KIB_MAX: u64 = 3 << 20;

/// Tries mutants of the files of a folder for so many seconds; whether all kept within the limits.
#[expect(clippy::disallowed_methods, reason = "a chore measures time")]
pub fn onnx(folder: &Path, seconds: u64, seed: u64, cache: &Path) -> Result<bool> {
    let files = files(folder)?;
    let last = cache.join("fuzz-onnx.onnx");
    std::fs::create_dir_all(cache).map_err(|error| failure::file("make", cache, error))?;
    let begin = Instant::now();
    let (mut tried, mut scored) = (0u64, 0u64);
    while begin.elapsed() < Duration::from_secs(seconds) {
        let mut draws = Draws::new(seed, 0, tried);
        let source = &files[below(&mut draws, files.len())];
        let mutant = mutant(source, &mut draws);
        std::fs::write(&last, &mutant).map_err(|error| failure::file("write", &last, error))?;
        let start = Instant::now();
        scored += u64::from(scores(mutant)?);
        tried += 1;
        if start.elapsed() > EACH_MAX || memory_kib()? > MEMORY_KIB_MAX {
            eprintln!("mutant {} of seed {seed} is beyond the limits: {}", tried - 1, last.display());
            return Ok(false);
        }
    }
    println!("{tried} files, {scored} of them scored, none beyond the limits");
    Ok(true)
}

/// The contents of all models in a folder.
fn files(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let list = std::fs::read_dir(folder).map_err(|error| failure::file("read", folder, error))?;
    let mut paths: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    if paths.is_empty() {
        return Err(Error::invalid(format!("{} has no models, expected .onnx files", folder.display())));
    }
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| failure::file("read", path, error));
    paths.iter().map(read).collect()
}

/// A file with some bytes changed, taken out or repeated.
fn mutant(source: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut bytes = source.to_vec();
    for _ in 0..=below(draws, 6) {
        let at = below(draws, bytes.len());
        let end = (at + 1 + below(draws, 40)).min(bytes.len());
        match below(draws, 5) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(draws, 5)],
            _ => bytes[at] ^= 1 << below(draws, 8),
        }
    }
    bytes
}

/// Whether a file loads; then it must score.
fn scores(bytes: Vec<u8>) -> Result<bool> {
    let Ok(model) = Model::from_bytes("mutant", bytes) else { return Ok(false) };
    let Ok(scorer) = model.select_all() else { return Ok(false) };
    let scores = scorer.score(&model.probe(ROWS))?;
    if scores.len() != ROWS {
        return Err(Error::internal(format!("{} scores for {ROWS} rows", scores.len())));
    }
    Ok(true)
}

/// The most memory that this process has had.
fn memory_kib() -> Result<u64> {
    let path = Path::new("/proc/self/status");
    let text = std::fs::read_to_string(path).map_err(|error| failure::file("read", path, error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Error::internal(format!("{} does not tell VmHWM", path.display())))
}

/// A place in a list.
fn below(draws: &mut Draws, bound: usize) -> usize {
    draws.below(bound.max(1) as u64) as usize
}
