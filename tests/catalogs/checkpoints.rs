//! The real program with its checkpoints in a real S3 server: killed at random behind a network with faults, on two machines,
//! with savepoints, and where the store is wrong or away.

use crate::project::{EVENTS, Folder, RUN, with_history};
use access::Secret;
use dataflow::ProcessingTime;
use object_stores::{AzureSettings, ObjectFolder, S3Settings, StoreAccess, StoreSettings, check_exclusive};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use tests::catalogs::{
    ACCESS_KEY, AZURE_ACCOUNT, AZURE_KEY, AzureServer, Fault, Proxy, REGION, Reply, Request, RestServer, S3Server,
    SECRET_KEY, Treatment, can_start,
};
use tests::machine::{SECOND, now, pause};
use tests::{Chance, Program};

/// Where the checkpoints lie, and the key `checkpoints` of that.
const LOCATION: &str = "s3://lake/state";

fn keys(endpoint: &str, access_key: &str, secret: &str, region: &str) -> String {
    format!(
        "s3 = {{ endpoint = \"{endpoint}\", region = \"{region}\", path_style = true, access_key = \"{access_key}\", \
         secret_key = \"env:{secret}\" }}"
    )
}

fn settings(catalog: &RestServer, location: &str, keys: &str) -> String {
    let history = with_history(&format!("catalog = \"{}\"", catalog.uri()));
    format!("{history}checkpoints = {{ location = \"{location}\", {keys} }}\n")
}

/// A project, as two machines have it: topics and tables are the same, what runs keep on their machine is not.
struct Machines {
    first: Folder,
    second: Folder,
}

impl Machines {
    fn new(settings: &str) -> Machines {
        let (first, second) = (Folder::new(settings), Folder::new(settings));
        std::fs::create_dir(first.path().join("topics")).unwrap();
        std::os::unix::fs::symlink(first.path().join("topics"), second.path().join("topics")).unwrap();
        Machines { first, second }
    }

    /// Compares the rows with those of a run on a disk.
    fn compare(&self) {
        self.first.to_end(&["run", "--until-caught-up"], "dev");
        assert_eq!(self.second.rows("prod"), self.first.rows("dev"));
    }
}

/// Servers, and a project on two machines that reaches them; none where they cannot be started.
fn set_up() -> Option<(S3Server, RestServer, Machines)> {
    if !can_start() {
        return None;
    }
    let (s3, catalog) = (S3Server::start(), RestServer::start(None));
    let machines = machines_at(&s3.endpoint(), &catalog);
    Some((s3, catalog, machines))
}

/// A project on two machines, whose store answers at an address.
fn machines_at(endpoint: &str, catalog: &RestServer) -> Machines {
    Machines::new(&settings(catalog, LOCATION, &keys(endpoint, ACCESS_KEY, "TEST_S3_SECRET", REGION)))
}

/// Where the server keeps the checkpoints of the job.
fn on_disk(s3: &S3Server) -> PathBuf {
    s3.folder().join("lake/state/on_servers/prod/project")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Whether nothing lies beside a job's checkpoints but what they name, a lease and an epoch.
fn assert_no_orphans(folder: &Path) {
    let names = names(folder);
    let of = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).collect::<Vec<_>>();
    let manifests: Vec<_> = of("manifest-").iter().map(|name| std::fs::read(folder.join(name)).unwrap()).collect();
    let is_named = |name: &str| manifests.iter().any(|manifest| contains(manifest, name.as_bytes()));
    assert!(of("state-").iter().all(|name| is_named(name)), "state that nothing names: {names:?}");
    assert!((1..=3).contains(&manifests.len()) && of("epoch-").len() == 1 && of("lease").len() == 1, "{names:?}");
    assert_eq!(names.len(), manifests.len() + of("state-").len() + 2, "{names:?}");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn wait_until_told(job: &mut Program, what: &str) {
    let begun = now();
    while !job.told().contains(what) {
        if let Some(ended) = job.ended(0) {
            panic!("it has ended: {}", ended.told);
        }
        assert!(now() < begun + RUN, "it does not say \"{what}\": {}", job.told());
        pause(SECOND / 20);
    }
}

/// A text with its lines in one.
fn one_line(told: &str) -> String {
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn rows_are_each_there_once_when_runs_are_killed_and_the_network_fails() {
    if !can_start() {
        return;
    }
    let (s3, catalog) = (S3Server::start(), RestServer::start(None));
    let seed = std::env::var("CATALOG_SEED").map_or(1, |seed| seed.parse().unwrap());
    let kills = std::env::var("CATALOG_KILLS").map_or(5, |kills| kills.parse::<usize>().unwrap());
    let (mut chance, of_network) = (Chance::new(seed), Mutex::new(Chance::new(seed + 1)));
    let store = Proxy::start(s3.port, move |_: &Request| {
        let chance = &mut *of_network.lock().unwrap();
        if !chance.permille(150) {
            return Treatment::Pass;
        }
        Treatment::Fault(match chance.below(7) {
            0 => Fault::AnswerLost,
            1 => Fault::RequestLost,
            2 => Fault::Delayed(chance.below(300)),
            3 => Fault::Repeated,
            4 => Fault::Cut(chance.below(4000) as usize),
            5 => Fault::ErrorAfter([500, 503][chance.below(2) as usize]),
            _ => Fault::ErrorBefore([500, 502, 503, 504, 429][chance.below(5) as usize]),
        })
    });
    let machines = machines_at(&store.uri(), &catalog);
    machines.first.publish("dev", 0..EVENTS / 2);
    machines.first.to_end(&["run", "archive", "--until-caught-up"], "prod");
    for kill in 0..kills {
        let (from, to) = (EVENTS / 2 / kills * kill, EVENTS / 2 / kills * (kill + 1));
        machines.first.publish("dev", EVENTS / 2 + from..EVENTS / 2 + to);
        // The lease of a run on the other machine has to lapse first.
        let machine = if kill % 4 == 3 { &machines.second } else { &machines.first };
        let mut job = machine.start(&["run", "--workers", "2"], "prod");
        if chance.permille(800) {
            job.ready();
        }
        pause(chance.between(0, 1_500_000));
        if let Some(ended) = job.ended(0) {
            panic!("seed {seed}, kill {kill}: the job ended by itself: {}", ended.told);
        }
        job.signal("KILL");
        job.ended(RUN).expect("a killed run ends");
    }
    machines.second.to_end(&["run", "--until-caught-up"], "prod");
    let faults = store.faults_by_kind();
    eprintln!("{kills} kills, faults of the store: {faults:?}");
    machines.compare();
    assert_no_orphans(&on_disk(&s3));
    assert!(faults.len() > 4, "{faults:?}");
}

#[test]
fn one_run_at_a_time_holds_checkpoints_on_two_machines_and_one_that_sleeps_is_succeeded() {
    let Some((s3, _catalog, machines)) = set_up() else { return };
    let Machines { first, second } = &machines;
    first.publish("dev", 0..EVENTS / 2);
    let mut sleeper = first.start(&["run"], "prod");
    sleeper.ready();
    first.wait_for_rows("prod", 1);
    let holder = format!("process {} on ", sleeper.id());
    let told = one_line(&second.refused(&["run"], "prod"));
    assert!(told.contains(&format!("\"{LOCATION}/on_servers/prod/project\" are held by {holder}")), "{told}");
    let told = one_line(&second.refused(&["stop"], "prod"));
    assert!(told.contains(&holder) && told.contains("run the command there"), "{told}");
    let jobs = second.printed(&["jobs"], "prod");
    assert!(jobs.contains(&format!("runs on another machine: {holder}")), "{jobs}");
    let watermark = second.printed(&["explain", "watermark"], "prod");
    assert!(watermark.contains(&format!("the job of all outputs is run by {holder}")), "{watermark}");
    let jobs = first.printed(&["jobs"], "prod");
    assert!(jobs.contains("running since") && jobs.contains("checkpoint "), "{jobs}");

    sleeper.signal("STOP");
    first.publish("dev", EVENTS / 2..EVENTS);
    let mut successor = second.start(&["run"], "prod");
    successor.ready();
    second.wait_for_rows("prod", EVENTS / 2 + 1);
    sleeper.signal("CONT");
    let ended = sleeper.ended(RUN).expect("one that has a successor ends by itself");
    let told = one_line(&ended.told);
    assert_eq!(ended.code, Some(1), "{told}");
    assert!(told.contains("only one run of a job") || told.contains("epoch"), "{told}");
    second.to_end(&["stop", "--no-savepoint"], "prod");
    assert_eq!(successor.ended(RUN).expect("it ends").code, Some(0));
    second.to_end(&["run", "--until-caught-up"], "prod");
    machines.compare();
    assert_no_orphans(&on_disk(&s3));
}

#[test]
fn savepoints_lie_in_a_store_and_are_resumed_from_on_another_machine() {
    let Some((s3, _catalog, machines)) = set_up() else { return };
    let Machines { first, second } = &machines;
    first.publish("dev", 0..EVENTS / 4);
    let mut job = first.start(&["run"], "prod");
    job.ready();
    first.wait_for_rows("prod", 1);
    let named = "s3://lake/kept/first";
    assert_eq!(first.printed(&["savepoint", "--to", named], "prod").trim(), named);
    let taken = one_line(&first.refused(&["savepoint", "--to", named], "prod"));
    assert!(taken.contains(&format!("\"{named}\" is there already")), "{taken}");
    let here = first.path().join("kept");
    first.to_end(&["savepoint", "--to", here.to_str().unwrap()], "prod");
    assert!(names(&here).iter().any(|name| name.starts_with("manifest-")));
    let saved = first.printed(&["stop"], "prod").trim().to_owned();
    assert!(saved.starts_with(&format!("{LOCATION}/on_servers/prod/savepoints/project/")), "{saved}");
    assert_eq!(job.ended(RUN).expect("it ends").code, Some(0));

    // At once, since the lease was given back.
    first.publish("dev", EVENTS / 4..EVENTS / 2);
    let none = one_line(&second.refused(&["resume", "--from", "s3://lake/none"], "prod"));
    assert!(none.contains("there is no savepoint in \"s3://lake/none\""), "{none}");
    let jobs = second.printed(&["jobs"], "prod");
    assert!(jobs.contains(&format!("savepoint {saved} of checkpoint")) && jobs.contains("ended"), "{jobs}");
    let mut job = second.start(&["resume", "--from", &saved, "--workers", "3"], "prod");
    wait_until_told(&mut job, "goes on from savepoint");
    job.ready();
    second.to_end(&["stop", "--no-savepoint"], "prod");
    assert_eq!(job.ended(RUN).expect("it ends").code, Some(0));
    // One of a job that nobody runs, and one that lies on a disk.
    let saved = second.path().join("of_disk");
    second.to_end(&["savepoint", "--to", saved.to_str().unwrap()], "prod");
    first.publish("dev", EVENTS / 2..EVENTS);
    let arguments = ["resume", "--from", saved.to_str().unwrap(), "--until-caught-up"];
    second.to_end(&arguments, "prod");
    machines.compare();
    first.to_end(&["run", "--fresh", "--until-caught-up"], "prod");
    machines.compare();
    assert_no_orphans(&on_disk(&s3));
}

#[test]
fn what_is_wrong_with_a_store_is_told_before_a_job_begins() {
    if !can_start() {
        return;
    }
    let (s3, catalog) = (S3Server::start(), RestServer::start(None));
    s3.add_user("stranger", "CANARY-client");
    let endpoint = s3.endpoint();
    let skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>";
    let skewed = Proxy::start(s3.port, move |_: &Request| Treatment::Answer(403, skewed.to_owned()));
    // Takes every name for free.
    let careless = Proxy::start(s3.port, |request: &Request| match request.header("if-none-match") {
        None => Treatment::Pass,
        Some(_) => {
            let headers = vec![("etag".to_owned(), "\"1\"".to_owned())];
            Treatment::Serve(Box::new(|_, _| Ok(Reply { status: 200, headers, body: Vec::new() }.bytes())))
        }
    });
    let own = |endpoint: &str| keys(endpoint, ACCESS_KEY, "TEST_S3_SECRET", REGION);
    for (location, keys, told) in [
        ("s3://none/state", own(&endpoint), "there is no bucket \"none\"; make it"),
        (LOCATION, keys(&endpoint, ACCESS_KEY, "TEST_STRANGER", REGION), "look at access_key and secret_key of s3"),
        (
            LOCATION,
            keys(&endpoint, "stranger", "TEST_STRANGER", REGION),
            "these keys may not do this in bucket \"lake\"",
        ),
        (LOCATION, keys(&endpoint, ACCESS_KEY, "TEST_S3_SECRET", "eu-west-7"), "region"),
        (LOCATION, own("http://127.0.0.1:9"), "the store does not answer as expected"),
        (LOCATION, own(&skewed.uri()), "the clock of this machine differs from that of the store"),
        (LOCATION, own(&careless.uri()), "cannot hold checkpoints: 8 of 8 that made one object at the same moment"),
        ("s3://", own(&endpoint), "lies in no store that is supported"),
        ("s3://lake/a//b", own(&endpoint), "cannot be the path of a folder in a store"),
        (LOCATION, keys(&endpoint, ACCESS_KEY, "TEST_NOT_SET", REGION), "the environment variable TEST_NOT_SET"),
    ] {
        let folder = Folder::new(&settings(&catalog, location, &keys));
        folder.publish("dev", 0..10);
        let refused = one_line(&folder.refused(&["run", "--until-caught-up"], "prod"));
        assert!(refused.contains(told), "{told}: {refused}");
        assert!(refused.contains(location.trim_end_matches('/')) || told.contains("TEST_NOT_SET"), "{refused}");
    }
}

#[test]
fn a_job_goes_on_while_the_store_is_away_and_takes_checkpoints_when_it_is_back() {
    if !can_start() {
        return;
    }
    let (s3, catalog) = (S3Server::start(), RestServer::start(None));
    let (mode, denies) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicBool::new(false)));
    let (current, denied) = (mode.clone(), denies.clone());
    let denial = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let store = Proxy::start(s3.port, move |_: &Request| match current.load(Ordering::SeqCst) {
        _ if denied.load(Ordering::SeqCst) => Treatment::Answer(403, denial.to_owned()),
        200 => Treatment::Pass,
        0 => Treatment::Fault(Fault::RequestLost),
        status => Treatment::Fault(Fault::ErrorBefore(status)),
    });
    let machines = machines_at(&store.uri(), &catalog);
    let folder = &machines.first;
    folder.publish("dev", 0..EVENTS / 4);
    let mut job = folder.start(&["run"], "prod");
    folder.wait_for_rows("prod", 1);
    for (status, part) in [(0, 1), (503, 2)] {
        mode.store(status, Ordering::SeqCst);
        folder.publish("dev", EVENTS / 4 * part..EVENTS / 4 * (part + 1));
        let waits = if status == 0 { "the checkpoint waits to be stored" } else { "503" };
        wait_until_told(&mut job, waits);
        // Longer than a lease is good for: nobody else has wanted it.
        pause(if status == 0 { 10 * SECOND } else { 0 });
        if status == 503 {
            asked_while_the_store_is_away(folder);
        }
        mode.store(200, Ordering::SeqCst);
        folder.wait_for_rows("prod", EVENTS / 4 * part + 1);
    }
    // Keys that are taken no more end it, by name.
    denies.store(true, Ordering::SeqCst);
    folder.publish("dev", EVENTS / 4 * 3..EVENTS);
    let ended = job.ended(RUN).expect("a job that may not write ends by itself");
    let told = one_line(&ended.told);
    assert_eq!(ended.code, Some(1), "{told}");
    assert!(told.contains("these keys may not do this in bucket \"lake\""), "{told}");
    denies.store(false, Ordering::SeqCst);
    // One that is told to end while the store is away ends, and nobody says that it came to its last checkpoint.
    let mut job = folder.start(&["run"], "prod");
    wait_until_told(&mut job, "goes on from checkpoint");
    job.ready();
    while !folder.printed(&["jobs"], "prod").contains("running since") {
        pause(SECOND / 5);
    }
    mode.store(503, Ordering::SeqCst);
    let told = one_line(&folder.refused(&["stop", "--no-savepoint"], "prod"));
    assert!(told.contains("has ended, and whether it came to its last checkpoint cannot be told"), "{told}");
    assert_eq!(job.ended(RUN).expect("it ends").code, Some(1));
    mode.store(200, Ordering::SeqCst);
    folder.to_end(&["run", "--until-caught-up"], "prod");
    machines.compare();
    assert_no_orphans(&on_disk(&s3));
}

/// What is asked of a job on its machine while the store of its checkpoints is away.
fn asked_while_the_store_is_away(folder: &Folder) {
    let jobs = folder.printed(&["jobs"], "prod");
    assert!(jobs.contains("the job of all outputs: running since") && jobs.contains("503"), "{jobs}");
    let watermark = folder.printed(&["explain", "watermark"], "prod");
    assert!(watermark.contains("partition 0: "), "{watermark}");
}

/// What checkpoints ask of a store.
fn conforms(folder: &ObjectFolder) {
    check_exclusive(folder, ProcessingTime(now())).unwrap();
    assert_eq!(folder.names().unwrap(), [""; 0]);
    assert!(folder.create("a", b"one").unwrap() && folder.create("a", b"one").unwrap());
    assert!(!folder.create("a", b"other").unwrap());
    let large: Vec<u8> = (0..17_000_001u32).map(|at| (at % 251) as u8).collect();
    assert!(folder.upload("large", &large).unwrap());
    assert_eq!(folder.read("large").unwrap().unwrap(), large);
    assert_eq!(folder.read_range("large", 8_388_600, 16).unwrap().unwrap(), large[8_388_600..8_388_616]);
    assert_eq!(folder.read_range("large", 17_000_000, 16).unwrap().unwrap(), large[17_000_000..]);
    assert_eq!(folder.read_range("large", 17_000_001, 16).unwrap().unwrap(), b"");
    assert_eq!((folder.read("none").unwrap(), folder.read_range("none", 0, 1).unwrap()), (None, None));
    let (bytes, version) = folder.read_version("a").unwrap().unwrap();
    assert_eq!(bytes, b"one");
    let next = folder.replace("a", b"two", &version).unwrap().unwrap();
    assert!(folder.replace("a", b"three", &version).unwrap().is_none());
    assert!(folder.replace("a", b"three", &next).unwrap().is_some());
    assert!(folder.read_version("none").unwrap().is_none());
    folder.within("job").create("manifest", b"").unwrap();
    assert_eq!(folder.folders().unwrap(), ["job"]);
    for name in ["a", "large", "none"] {
        folder.delete(name).unwrap();
    }
    assert_eq!(folder.names().unwrap(), [""; 0]);
    assert!(folder.replace("a", b"four", &next).unwrap().is_none());
}

#[test]
fn names_of_a_page_are_listed_and_stores_of_amazon_and_azure_do_what_checkpoints_ask_of_them() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let secret = |text: &str| Some(Secret::Text(text.to_owned()));
    let of_s3 = S3Settings {
        endpoint: Some(s3.endpoint()),
        region: Some(REGION.to_owned()),
        path_style: Some(true),
        access_key: secret(ACCESS_KEY),
        secret_key: secret(SECRET_KEY),
        session_token: None,
    };
    let settings = StoreSettings { s3: of_s3, ..StoreSettings::default() };
    let access = StoreAccess::new(&settings, None, []).unwrap();
    let folder = ObjectFolder::open("s3://lake/a/b/", access).unwrap();
    conforms(&folder);
    // More than a page of a list has.
    let many = s3.folder().join("lake/a/many");
    std::fs::create_dir_all(&many).unwrap();
    (0..2_100).for_each(|name| std::fs::write(many.join(format!("{name:05}")), "").unwrap());
    let within =
        ObjectFolder::open("s3://lake/a", StoreAccess::new(&settings, None, []).unwrap()).unwrap().within("many");
    assert_eq!(within.names().unwrap().len(), 2_100);

    let Some(azure) = AzureServer::start() else { return };
    let of_azure = AzureSettings {
        endpoint: Some(azure.endpoint.clone()),
        account: Some(AZURE_ACCOUNT.to_owned()),
        account_key: secret(AZURE_KEY),
        ..AzureSettings::default()
    };
    let settings = StoreSettings { azure: of_azure, ..StoreSettings::default() };
    let access = StoreAccess::new(&settings, None, []).unwrap();
    conforms(&ObjectFolder::open("abfss://lake/a/b", access).unwrap());
}
