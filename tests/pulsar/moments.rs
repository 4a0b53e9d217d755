//! Jobs over history and then live that begin at different moments of one traffic, among them while nothing is archived,
//! in silence, and after the archive was killed: each has the training table that DuckDB computes from what Pulsar's own Java
//! client reads, to the row and its time.

use crate::losses::broker;
use crate::project::{Folder, RUN};
use connector_iceberg::Warehouse;
use connector_pulsar::standalone::Standalone;
use connector_pulsar::{Guarantee, Key, Namespace, OutgoingMessage, Service, Settings, TopicWriter, Topics};
use dataflow::EventTime;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tests::machine::{SECOND, now, pause, until};
use tests::{Chance, Program, duckdb, dump_topics, surplus, table_rows};

const NAMESPACE: &str = "public/moments";
const PARTITIONS: u32 = 4;
const DEVICES: u64 = 16;
const MILLI: i64 = 1_000;

const SETTINGS: &str = "[project]\nname = \"moments\"\ncommit_every = \"500ms\"\ncheckpoint_every = \"200ms\"\n";

/// What `moments.py` computes once more.
const SQL: &str = "
CREATE STREAM plays (id BIGINT, device BIGINT, value BIGINT, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '500' MILLISECOND QUIET AFTER INTERVAL '400' MILLISECOND
) HISTORY raw.plays LIVE plays ON BAD ROW SKIP;
CREATE STREAM rates (device BIGINT, rate BIGINT, at TIMESTAMP,
  WATERMARK FOR at AS at QUIET AFTER INTERVAL '400' MILLISECOND
) HISTORY raw.rates LIVE rates;
ARCHIVE plays;
ARCHIVE rates;
CREATE VIEW features AS
SELECT p.id, p.device, p.value, p.at, p._time AS row_time, p._late AS late,
       count(*) OVER w AS n, sum(p.value) OVER w AS total, r.rate
FROM plays p ASOF LEFT JOIN rates r ON r.device = p.device AND r.at <= p.at
WINDOW w AS (PARTITION BY p.device ORDER BY p.at RANGE INTERVAL '2' SECOND PRECEDING);
CREATE VIEW labelled AS
SELECT f.*, EXISTS (SELECT 1 FROM plays r WHERE r.device = f.device AND r.value > 990
  AND r.at BETWEEN f.at AND f.at + INTERVAL '1' SECOND) AS label
FROM features f;
";

/// The cells of a row.
const LATE: usize = 5;
const RATE: usize = 8;
const LABEL: usize = 9;

/// A number from the environment, for the long form.
fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// How far rows are ahead of their arrival at most, and how long a label waits.
const AHEAD: i64 = SECOND;
const LABEL_BOUND: i64 = SECOND;

/// What is put on the topics, and how far that is.
struct Traffic {
    messages: usize,
    put: AtomicUsize,
    is_silent: AtomicBool,
}

/// A tick of the traffic, and when the parts of its round of five seconds are silent: one partition in turn, then all.
const TICK: i64 = 20 * MILLI;
const ROUND: i64 = 5 * SECOND;
const ONE_SILENT: std::ops::Range<i64> = 500 * MILLI..1_900 * MILLI;
const ALL_SILENT: std::ops::Range<i64> = 3_000 * MILLI..4_400 * MILLI;

struct Publisher {
    plays: TopicWriter,
    rates: TopicWriter,
    chance: Chance,
    sequence: u64,
    /// When each partition of plays got its last message.
    spoken: [i64; PARTITIONS as usize],
}

impl Publisher {
    fn new(service_url: &str) -> Publisher {
        let settings = Settings::new(Service::parse(service_url).unwrap());
        let topics = Topics::new(settings, Namespace::parse(NAMESPACE).unwrap());
        let open = |name: &str| {
            let topic = topics.topic(name).unwrap().expect("the topic was made");
            TopicWriter::open(&topic, &format!("test-{name}"), Guarantee::AtLeastOnce, &[], None).unwrap()
        };
        let spoken = [now(); PARTITIONS as usize];
        Publisher { plays: open("plays"), rates: open("rates"), chance: Chance::new(11), sequence: 0, spoken }
    }

    fn message(&mut self, device: u64, payload: String) -> OutgoingMessage {
        self.sequence += 1;
        OutgoingMessage {
            sequence: self.sequence,
            payload: Some(payload.into()),
            key: Some(Key::Text(device.to_string())),
            properties: Vec::new(),
            event_time_ms: None,
            // The producer's clock is years behind: what counts is when the broker stamped the message.
            publish_time_ms: 1_700_000_000_000,
        }
    }

    /// A play: most are a little out of order, many share their time, some are late or from the future, a few cannot be used.
    /// Half of those that end a silence are late, since the silence tells by how much.
    fn play(&mut self, id: usize, ends_silence: bool) -> OutgoingMessage {
        let chance = &mut self.chance;
        let device = chance.below(DEVICES);
        let lag = chance.of(&[0, 0, 1, MILLI, 20 * MILLI, 100 * MILLI, 499 * MILLI]);
        let at = now() - lag;
        let at = match chance.below(if ends_silence { 80 } else { 1000 }) {
            0..40 => at - chance.between(500 * MILLI, 6 * SECOND),
            40..50 => at + chance.between(1, AHEAD),
            50..52 => at + 30 * 3600 * SECOND,
            52..300 => at - at % (100 * MILLI),
            _ => at,
        };
        let value = chance.below(1000);
        let at = if chance.permille(2) { Value::Null } else { json!(EventTime(at).to_string()) };
        let payload = match chance.permille(2) {
            true => format!("{{\"id\": {id}"),
            false => json!({ "id": id, "device": device, "value": value, "at": at }).to_string(),
        };
        self.message(device, payload)
    }

    fn rate(&mut self, device: u64, rate: u64) {
        let at = now() - self.chance.of(&[0, 1, 30 * MILLI]);
        let payload = json!({ "device": device, "rate": rate, "at": EventTime(at).to_string() }).to_string();
        let message = self.message(device, payload);
        self.rates.push(0, vec![message]).unwrap();
    }

    /// Puts one row on each partition, so that none shows its first one while a job runs: that would be counted apart.
    fn begin(&mut self) {
        for partition in 0..PARTITIONS {
            let at = EventTime(now()).to_string();
            let payload = json!({ "id": -1 - i64::from(partition), "device": partition, "value": 0, "at": at });
            let message = self.message(u64::from(partition), payload.to_string());
            self.plays.push(partition, vec![message]).unwrap();
        }
        for device in 0..DEVICES {
            self.rate(device, device);
        }
        self.flush();
    }

    fn flush(&self) {
        self.plays.flush().unwrap();
        self.rates.flush().unwrap();
    }

    /// Puts all messages, at an even rate outside of silence.
    fn run(&mut self, traffic: &Traffic, seconds: i64) {
        let ticks = seconds * SECOND / TICK;
        let is_spoken = |tick: &i64| !ALL_SILENT.contains(&(tick * TICK % ROUND));
        let spoken = (0..ticks).filter(is_spoken).count();
        let (begun, mut spoke) = (now(), 0);
        for tick in 0..ticks {
            until(begun + tick * TICK);
            traffic.is_silent.store(!is_spoken(&tick), Ordering::Relaxed);
            if !is_spoken(&tick) {
                continue;
            }
            spoke += 1;
            let (round, at) = (tick * TICK / ROUND, tick * TICK % ROUND);
            let silent = ONE_SILENT.contains(&at).then_some((round % i64::from(PARTITIONS)) as u32);
            let mut batches = vec![Vec::new(); PARTITIONS as usize];
            for id in traffic.put.load(Ordering::Relaxed)..traffic.messages * spoke / spoken {
                let mut partition = self.chance.below(u64::from(PARTITIONS)) as u32;
                if Some(partition) == silent {
                    partition = (partition + 1) % PARTITIONS;
                }
                let before = std::mem::replace(&mut self.spoken[partition as usize], now());
                let message = self.play(id, now() - before > SECOND / 2);
                batches[partition as usize].push(message);
            }
            (0..).zip(batches).for_each(|(partition, batch)| self.plays.push(partition, batch).unwrap());
            if self.chance.permille(100) {
                let (device, rate) = (self.chance.below(DEVICES), self.chance.below(1000));
                self.rate(device, rate);
            }
            self.flush();
            traffic.put.store(traffic.messages * spoke / spoken, Ordering::Relaxed);
        }
    }
}

/// What becomes of a job after it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It runs until the traffic ends, and is interrupted.
    Whole,
    /// It is killed, started again at once, and killed when the traffic ends.
    KilledTwice,
    /// It is killed, and goes on when the traffic has ended.
    Away,
}

struct Job {
    life: Life,
    program: Option<Program>,
}

impl Job {
    /// Begins a job as the number of its moment says.
    fn begin(folder: &Folder, moment: usize) -> Job {
        let life = [Life::Whole, Life::KilledTwice, Life::Away][moment % 3];
        let name = format!("m{moment}");
        let start = || {
            let program = folder.start(&["run", &name], "pulsar");
            // The folder of its checkpoints is there once it runs.
            let (begun, checkpoints) = (now(), warehouse(folder).join(format!("_riverrun/checkpoints/job-{name}")));
            while !checkpoints.exists() {
                assert!(now() < begun + RUN, "{}", program.told());
                pause(5 * MILLI);
            }
            program
        };
        let mut program = Some(start());
        if life != Life::Whole {
            pause(SECOND + moment as i64 * 37 * MILLI);
            kill(program.take().unwrap());
        }
        if life == Life::KilledTwice {
            program = Some(start());
        }
        Job { life, program }
    }

    fn end(&mut self) {
        let Some(mut program) = self.program.take() else { return };
        if self.life == Life::KilledTwice {
            return kill(program);
        }
        program.interrupt();
        let ended = program.ended(RUN).expect("a run that is interrupted ends");
        assert_eq!(ended.code, Some(0), "{}", ended.told);
    }
}

fn warehouse(folder: &Folder) -> PathBuf {
    folder.path().join("warehouse")
}

fn kill(mut program: Program) {
    program.signal("KILL");
    program.ended(RUN).expect("a killed run ends");
}

/// How many plays the archive has.
fn archived(folder: &Folder) -> u64 {
    let Ok(warehouse) = Warehouse::open(&warehouse(folder)) else { return 0 };
    warehouse.rows("raw.plays").unwrap_or(0)
}

fn folder(broker: &Standalone, moments: usize) -> Folder {
    let (mut settings, mut sql) = (SETTINGS.to_owned(), SQL.to_owned());
    for moment in 0..moments {
        writeln!(settings, "[job.m{moment}]\noutputs = [\"lake.training_{moment}\"]").unwrap();
        writeln!(sql, "INSERT INTO lake.training_{moment} SELECT l.*, l._time AS known_at FROM labelled l;").unwrap();
    }
    let live = format!("{{ pulsar = \"{}\", namespace = \"{NAMESPACE}\" }}", broker.service_url());
    let folder =
        Folder::with(&format!("{settings}[env.pulsar]\nhistory = {{ warehouse = \"warehouse\" }}\nlive = {live}\n"));
    std::fs::write(folder.path().join("pipelines/all.sql"), sql).unwrap();
    folder
}

/// Begins jobs at their moments of the traffic, and an archive after the first of them; gives how much was archived at each.
fn run_jobs(folder: &Folder, traffic: &Traffic, moments: usize) -> Vec<u64> {
    let put = || traffic.put.load(Ordering::Relaxed);
    let until_put = |messages: usize| {
        let begun = now();
        while put() < messages {
            assert!(now() < begun + RUN, "{} of {messages} messages", put());
            pause(5 * MILLI);
        }
    };
    let start_archive = || folder.start(&["run", "archive"], "pulsar");
    let (mut jobs, mut at_moments) = (Vec::new(), Vec::new());
    let mut archive: Option<Program> = None;
    for moment in 0..moments {
        until_put(traffic.messages * moment / moments);
        let begun = now();
        while moment > 0 && archived(folder) == 0 {
            assert!(now() < begun + RUN, "nothing is archived");
            pause(20 * MILLI);
        }
        // Every second one begins while nothing comes.
        while moment % 2 == 1 && put() < traffic.messages && !traffic.is_silent.load(Ordering::Relaxed) {
            pause(5 * MILLI);
        }
        if moment % 3 == 2 {
            archive.take().into_iter().for_each(kill);
        }
        at_moments.push(archived(folder));
        jobs.push(Job::begin(folder, moment));
        archive = Some(archive.unwrap_or_else(start_archive));
    }
    until_put(traffic.messages);
    archive.into_iter().for_each(kill);
    jobs.iter_mut().for_each(Job::end);
    at_moments
}

#[test]
fn jobs_that_begin_at_any_moment_of_a_traffic_have_the_table_that_duckdb_computes_over_all_messages() {
    let Some(broker) = broker() else { return };
    let (messages, moments) = (setting("PULSAR_MESSAGES", 4_000), setting("PULSAR_MOMENTS", 3));
    let seconds = (messages as i64 / 1_000).max(10);
    let folder = folder(broker, moments);
    for (path, json) in [
        (format!("namespaces/{NAMESPACE}"), String::new()),
        (format!("persistent/{NAMESPACE}/plays/partitions"), PARTITIONS.to_string()),
        (format!("persistent/{NAMESPACE}/rates"), String::new()),
    ] {
        let (status, body) = broker.admin().request("PUT", &format!("/admin/v2/{path}"), &json).unwrap();
        assert!((200..300).contains(&status), "{path}: {status} {body}");
    }
    let mut publisher = Publisher::new(&broker.service_url());
    publisher.begin();
    let traffic = Traffic { messages, put: AtomicUsize::new(0), is_silent: AtomicBool::new(false) };
    let at_moments = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publisher.run(&traffic, seconds));
        let at_moments = run_jobs(&folder, &traffic, moments);
        publishing.join().unwrap();
        at_moments
    });
    // The label of the last row is known once a clock is so much further.
    pause(AHEAD + LABEL_BOUND + SECOND / 5);
    publisher.begin();

    let expected = expected(broker, &folder);
    assert!(expected.len() > messages * 98 / 100, "{} rows of {messages} messages", expected.len());
    for moment in 0..moments {
        let told = folder.printed(&["run", &format!("m{moment}"), "--until-caught-up", "--json"], "pulsar");
        let found = table_rows(&Warehouse::open(&warehouse(&folder)).unwrap(), &format!("lake.training_{moment}"));
        let (odd, missing) = (surplus(&found, &expected), surplus(&expected, &found));
        assert!(
            odd.is_empty() && missing.is_empty(),
            "moment {moment}: {} rows are not DuckDB's, such as {:?}; {} of its rows are missing, such as {:?}; {told}",
            odd.len(),
            odd.first(),
            missing.len(),
            missing.first()
        );
    }
    let percent = |cell: usize, value: &str| {
        expected.iter().filter(|row| row.split('|').nth(cell) == Some(value)).count() * 100 / expected.len()
    };
    let (late, labels, without_rate) = (percent(LATE, "true"), percent(LABEL, "true"), percent(RATE, "NULL"));
    assert!(late > 2 && (5..95).contains(&labels) && without_rate < 10, "{late} {labels} {without_rate}");
    eprintln!("  {} rows; archived when the jobs began: {at_moments:?}", expected.len());
    assert!(at_moments[0] == 0 && at_moments[1..].is_sorted() && at_moments[1] > 0, "{at_moments:?}");
}

fn expected(broker: &Standalone, folder: &Folder) -> Vec<String> {
    let topics = ["plays", "rates"].map(|topic| format!("persistent://{NAMESPACE}/{topic}"));
    let files = ["plays", "rates"].map(|topic| folder.path().join(format!("{topic}.jsonl")));
    dump_topics(&broker.service_url(), &[(&topics[0], &files[0]), (&topics[1], &files[1])]);
    let script = tests::root().join("tests/pulsar/moments.py");
    duckdb(&script, &[&files[0], &files[1]]).lines().map(str::to_owned).collect()
}
