//! examples/flights on a broker by the two commands of its page: the rows and actions are those of the local run, and those
//! that DuckDB computes from the topics as Pulsar's own Java client reads them.

use crate::environment::{output, printed, python};
use crate::flights::Flights;
use crate::{requirements, script, timed};
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::{Broker, dump_topics};

/// Where the files are cut but for the long form, `FLIGHTS_ON_PULSAR=whole`: the end of history, and that of live.
const CUT: [&str; 2] = ["2013-01-16", "2013-01-20"];
const TOPICS: [&str; 4] = ["departures", "arrivals", "weather", "actions"];

/// A copy of the example as it is, and the broker that its page starts; it ends with this.
struct OnPulsar {
    flights: Flights,
    service_url: String,
}

impl OnPulsar {
    /// The example at a port that is free: that of its settings may be somebody's.
    fn copy() -> OnPulsar {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = port.local_addr().expect("a bound listener has a port").port();
        let flights = Flights::as_it_is();
        let path = flights.path("riverrun.toml");
        let settings = fs::read_to_string(&path).expect("the example has settings");
        let service_url = format!("pulsar://127.0.0.1:{port}");
        let changed = settings.replace("pulsar://127.0.0.1:6650", &service_url);
        assert_ne!(changed, settings, "the example's environment has a port");
        fs::write(path, changed).expect("the settings can be written");
        OnPulsar { flights, service_url }
    }

    /// Runs the script of the example, with the program that is built; gives what it says for people.
    fn run(&self, arguments: &[&str]) -> String {
        let mut run = Command::new(self.flights.path("run"));
        let ran = output(run.args(arguments).env("RIVERRUN", tests::riverrun()));
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{told}");
        told
    }

    /// The messages of all topics, as the Java client reads them.
    fn dump(&self, folder: &Path) {
        fs::create_dir(folder).expect("the folder can be made");
        let files = TOPICS.map(|topic| folder.join(format!("{topic}.jsonl")));
        let topics: Vec<_> = TOPICS.into_iter().zip(files.iter().map(|file| file.as_path())).collect();
        dump_topics(&self.service_url, &topics);
    }
}

impl Drop for OnPulsar {
    fn drop(&mut self) {
        // It runs no more where the test failed before.
        let mut stop = Command::new(tests::riverrun());
        let _ = stop.arg("-C").arg(self.flights.path("")).args(["pulsar", "stop", "--env", "pulsar"]).output();
    }
}

#[test]
fn flights_on_a_broker_are_those_of_local_topics_and_of_duckdb_over_what_java_reads() {
    if !Broker::is_possible() {
        return;
    }
    let on_pulsar = OnPulsar::copy();
    let flights = &on_pulsar.flights;
    let python = timed("the Python environment", || python(&requirements()));
    let judge = |arguments: &[&Path]| {
        let mut command = Command::new(&python);
        command.arg(tests::root().join("tests/examples/on_pulsar.py")).args(arguments);
        printed(command.env("PYTHONDONTWRITEBYTECODE", "1"))
    };
    let is_whole = std::env::var("FLIGHTS_ON_PULSAR").is_ok_and(|form| form == "whole");
    if !is_whole {
        let [history, live] = CUT.map(Path::new);
        judge(&[Path::new("cut"), &flights.path(""), history, live]);
    }
    timed("flights on local topics", || on_pulsar.run(&[]));
    timed("the broker", || flights.riverrun("pulsar", &["pulsar", "start"]));
    timed("flights on the broker", || on_pulsar.run(&["--env", "pulsar"]));
    // It is there, and so are the topics; from nothing is from nothing again.
    let told = timed("flights on the broker once more", || on_pulsar.run(&["--env", "pulsar"]));
    assert!(told.contains("riverrun tail actions --from-start -n 5 --env pulsar\n"), "{told}");
    let dumps = flights.path("dumps");
    timed("the topics as Java reads them", || on_pulsar.dump(&dumps));
    let told = timed("decisions and tables", || judge(&[Path::new("judge"), &flights.path(""), &dumps]));
    eprint!("{told}");
    let end = told.lines().last().expect("it says where the inputs end");
    let mut oracle = script(&python, flights, "oracle.py");
    oracle.arg("--warehouse").arg(flights.path("warehouse-pulsar")).arg("--data").arg(dumps.join("streams"));
    let told = timed("the training table against DuckDB", || printed(oracle.args(["--until", end])));
    let last = told.lines().last().unwrap_or_default();
    assert!(last.ends_with(": 0 differences"), "{told}");
    eprintln!("{last}");
}
