//! Checkpoints of a real job, with its state, that somebody or something has damaged.
//!
//! A job with every kind of step is killed with a checkpoint in its folder. A trial changes that at one place: bytes of a
//! file as they lie on the disk, fields of the manifest under a checksum that fits them, or a piece of state as if its
//! checksum fitted. The job then goes on to its end. What is told by a checksum has to be an error that names the file, or
//! the rows of a job that nobody damaged; for the rest any error will do. Nothing may panic or go on without an end.

use crate::failure;
use dataflow::{Error, ErrorKind, EventTime, Pieces, Result, Scope, Span};
use project::{Begin, JobOptions, Wired};
use sql::Target;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::{Chance, Place, Running, table_rows, told};
use xxhash_rust::xxh3::xxh3_128;

const START: i64 = 1_767_225_600_000_000;
const SECOND: i64 = 1_000_000;
/// How many messages there are before the checkpoint, and after it.
const MESSAGES: u64 = 120;
const LATER: u64 = 40;
/// How many steps a job may make to its end.
const STEPS_MAX: usize = 200_000;
/// The letters and the checksum before the fields of a manifest.
const MAGIC: usize = 8;
const FIELDS: usize = 24;

const TABLES: [&str; 3] = ["lake.counted", "lake.labelled", "guard__log"];
const SQL: &str = "
CREATE STREAM messages (id BIGINT, sender BIGINT, text TEXT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND,
  DEDUP ON (id) WITHIN INTERVAL '10' SECOND
) LIVE messages;
CREATE STREAM reports (sender BIGINT, weight DOUBLE, reported_at TIMESTAMP,
  WATERMARK FOR reported_at AS reported_at - INTERVAL '1' SECOND
) LIVE reports;
CREATE VIEW counted AS
SELECT m.id, m.sender, m.sent_at, r.weight, count(*) OVER w AS n, max(m.text) OVER w AS most, avg(m.id) OVER w AS mean,
       lag(m.text) OVER k AS before,
       (SELECT sum(x.weight) FROM reports x WHERE x.sender = m.sender
          AND x.reported_at BETWEEN m.sent_at - INTERVAL '20' SECOND AND m.sent_at) AS weight_20s
FROM messages m ASOF LEFT JOIN reports r ON r.sender = m.sender AND r.reported_at <= m.sent_at
WINDOW w AS (PARTITION BY m.sender ORDER BY m.sent_at RANGE INTERVAL '15' SECOND PRECEDING),
       k AS (PARTITION BY m.sender ORDER BY m.sent_at);
INSERT INTO lake.counted SELECT * FROM counted;
INSERT INTO lake.labelled
SELECT c.id, c.n, EXISTS (SELECT 1 FROM reports r WHERE r.sender = c.sender
         AND r.reported_at BETWEEN c.sent_at AND c.sent_at + INTERVAL '5' SECOND) AS label
FROM counted c;
CREATE DECISION guard ON counted SUBJECT sender TO actions AS
  RULE burst WHEN n > 4 THEN 'slow_down' ONCE PER INTERVAL '4' SECOND
  RULE heavy WHEN weight_20s > 400 THEN 'look';
";

/// A job with a checkpoint, as it lies on the disk, and the rows that it has to give.
struct Damaged {
    place: Place,
    kept: TempDir,
    rows: Vec<Vec<String>>,
}

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Bytes of a file, which its checksum tells.
    File,
    /// Fields of the manifest, with a checksum that fits.
    Manifest,
    /// A piece of state, as if its checksum fitted.
    Piece,
}

impl Damaged {
    fn new() -> Result<Damaged> {
        let place = Place::new("damaged", SQL, &["dev".to_owned()], START);
        let mut chance = Chance::new(11);
        for topic in ["messages", "reports"] {
            place.topics().create(topic, 2)?;
        }
        put(&place, &mut chance, 0..MESSAGES);
        let mut running = Running::new(wired(&place, false)?, 3, 5);
        running.settle()?;
        running.driver.control().commit();
        running.settle()?;
        put(&place, &mut chance, MESSAGES..MESSAGES + LATER);
        running.settle()?;
        drop(running);
        let kept = tempfile::tempdir().map_err(|error| failure::file("make", Path::new("a folder"), error))?;
        copy(place.path(), kept.path())?;
        let mut damaged = Damaged { place, kept, rows: vec![] };
        damaged.rows = damaged.to_end(&mut |_| {}).map_err(|error| error.chain()).map_err(Error::internal)?;
        if damaged.rows.iter().any(Vec::is_empty) {
            return Err(Error::internal("a table of the job has no row"));
        }
        Ok(damaged)
    }

    /// Puts everything back as it was.
    fn reset(&self) -> Result<()> {
        let path = self.place.path();
        for below in paths(path)? {
            let removed = if below.is_dir() { std::fs::remove_dir_all(&below) } else { std::fs::remove_file(&below) };
            removed.map_err(|error| failure::file("remove", &below, error))?;
        }
        copy(self.kept.path(), path)
    }

    /// The rows of all tables once the job has come to its end.
    fn to_end(&self, change: &mut dyn FnMut(&mut Wired)) -> Result<Vec<Vec<String>>> {
        let mut wired = wired(&self.place, true)?;
        change(&mut wired);
        let mut running = Running::started(wired, 2, 9)?;
        if !running.settle_within(STEPS_MAX)? {
            return Err(Error::unavailable("the job stands still"));
        }
        drop(running);
        let warehouse = self.place.project("dev").warehouse()?;
        Ok(TABLES.iter().map(|table| table_rows(&warehouse, table)).collect())
    }

    /// Damages the checkpoint as a seed says, and goes on from it. What is wrong, if something is.
    fn trial(&self, seed: u64) -> Result<std::result::Result<(), String>> {
        self.reset()?;
        let chance = &mut Chance::new(seed);
        let part = chance.of(&[Part::File, Part::Manifest, Part::Piece, Part::Piece]);
        let name = match part {
            Part::Piece => String::new(),
            part => self.damage(part, chance)?,
        };
        let mut change = |wired: &mut Wired| {
            if part == Part::Piece {
                damage_piece(wired, chance);
            }
        };
        let ended = catch_unwind(AssertUnwindSafe(|| self.to_end(&mut change)));
        let what = format!("seed {seed}: {part:?} {name}");
        Ok(match ended {
            Err(panic) => Err(format!("{what}: panic: {}", dataflow::panic_text(&*panic))),
            Ok(Ok(rows)) if part == Part::File && rows != self.rows => Err(format!("{what}: other rows come out")),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.chain().contains("the job goes on after") => Err(format!("{what}: {error}")),
            Ok(Err(error)) if part == Part::File => {
                let is_named = error.kind() == ErrorKind::Corrupt && error.chain().contains(&name);
                if is_named { Ok(()) } else { Err(format!("{what}: {}", error.chain())) }
            }
            Ok(Err(_)) => Ok(()),
        })
    }

    /// Changes a file of the checkpoint; gives its name.
    fn damage(&self, part: Part, chance: &mut Chance) -> Result<String> {
        let folder = self.place.project("dev").checkpoints_path(None);
        let mut files = paths(&folder)?;
        files.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("manifest-") || part == Part::File && name.starts_with("state-")
        });
        files.sort();
        let path = match part {
            Part::File => files[chance.below(files.len() as u64) as usize].clone(),
            _ => files.last().cloned().ok_or_else(|| Error::internal("there is no manifest"))?,
        };
        let bytes = std::fs::read(&path).map_err(|error| failure::file("read", &path, error))?;
        let changed = match part {
            Part::Manifest => {
                let fields = changed(bytes[FIELDS..].to_vec(), chance);
                [&bytes[..MAGIC], &xxh3_128(&fields).to_le_bytes(), &fields].concat()
            }
            _ => changed(bytes, chance),
        };
        std::fs::write(&path, changed).map_err(|error| failure::file("write", &path, error))?;
        Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }
}

/// Changes one piece of what the job goes on from.
fn damage_piece(wired: &mut Wired, chance: &mut Chance) {
    let Some(restored) = &mut wired.restored else { return };
    let with_pieces = restored.steps.iter_mut().filter(|step| step.state.scope(0).is_some());
    let mut steps: Vec<_> = with_pieces.collect();
    let step = chance.below(steps.len().max(1) as u64) as usize;
    let Some(step) = steps.get_mut(step) else { return };
    let mut pieces: Vec<(Scope, Vec<u8>)> = Vec::new();
    while let Some(scope) = step.state.scope(pieces.len()) {
        pieces.push((scope, step.state.read(pieces.len()).unwrap_or_default()));
    }
    let at = chance.below(pieces.len() as u64) as usize;
    pieces[at].1 = changed(std::mem::take(&mut pieces[at].1), chance);
    step.state = Arc::new(pieces) as Pieces;
}

/// Bytes with something changed.
fn changed(mut bytes: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    for _ in 0..chance.of(&[1, 1, 1, 2, 8]) {
        if bytes.is_empty() {
            return vec![chance.number() as u8];
        }
        let at = chance.below(bytes.len() as u64) as usize;
        match chance.below(7) {
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = chance.of(&[0, 1, 2, 0x7f, 0x80, 0xff]),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, chance.number() as u8),
            4 => drop(bytes.remove(at)),
            5 => {
                // A number that counts or measures something.
                let number = chance.of(&[0, 1, u64::from(u32::MAX), i64::MAX as u64, u64::MAX, 1 << 40]).to_le_bytes();
                let to = (at + number.len()).min(bytes.len());
                bytes[at..to].copy_from_slice(&number[..to - at]);
            }
            _ => {
                let to = (at + 1 + chance.below(16) as usize).min(bytes.len());
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

fn wired(place: &Place, until_caught_up: bool) -> Result<Wired> {
    let options = JobOptions { until_caught_up, begin: Begin::GoOn, ..JobOptions::default() };
    place.project("dev").job(&Target::All, &options).map_err(|failure| match failure {
        project::Failure::Error(error) | project::Failure::Begun(error) => error,
        failure => Error::invalid(told(failure)),
    })
}

fn put(place: &Place, chance: &mut Chance, numbers: std::ops::Range<u64>) {
    for number in numbers {
        place.advance(Span(chance.between(0, 700_000)));
        let event = EventTime(place.now() - chance.between(0, 2 * SECOND));
        let (sender, partition) = (chance.below(4), (number % 2) as u32);
        let text = "long ".repeat(chance.below(6) as usize);
        let message = format!(r#"{{"id":{number},"sender":{sender},"text":"{text}","sent_at":"{event}"}}"#);
        place.put("messages", partition, &message);
        if number % 2 == 0 || number < 4 {
            let weight = chance.below(200);
            let report = format!(r#"{{"sender":{sender},"weight":{weight}.5,"reported_at":"{event}"}}"#);
            place.put("reports", partition, &report);
        }
    }
}

fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = std::fs::read_dir(folder).map_err(|error| failure::file("read", folder, error))?;
    list.map(|entry| Ok(entry.map_err(|error| failure::file("read", folder, error))?.path())).collect()
}

/// Copies what lies in a folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for path in paths(from)? {
        let into = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            std::fs::create_dir_all(&into).map_err(|error| failure::file("make", &into, error))?;
            copy(&path, &into)?;
        } else {
            std::fs::copy(&path, &into).map_err(|error| failure::file("copy", &path, error))?;
        }
    }
    Ok(())
}

/// Tries seeds until the time is up; whether nothing was wrong.
#[expect(clippy::disallowed_methods, reason = "a chore measures time")]
pub fn run(time: Duration, first: u64) -> Result<bool> {
    let (begin, damaged) = (Instant::now(), Damaged::new()?);
    let (mut tried, mut wrong) = (0, 0);
    while begin.elapsed() < time {
        if let Err(why) = damaged.trial(first + tried)? {
            println!("{why}");
            wrong += 1;
        }
        tried += 1;
    }
    println!("state: {tried} damaged checkpoints, {wrong} beyond the limits");
    Ok(wrong == 0)
}

/// Seeds that found something.
#[cfg(test)]
const FOUND: [u64; 0] = [];

#[test]
fn a_damaged_checkpoint_is_refused_or_changes_nothing() {
    let damaged = Damaged::new().unwrap();
    let wrong = (0..40).chain(FOUND).filter_map(|seed| damaged.trial(seed).unwrap().err());
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
}
