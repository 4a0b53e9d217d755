//! A broker of Pulsar that the program itself starts and stops.

use crate::machine::{SECOND, pause};
use connector_pulsar::standalone::Http;
use std::path::Path;
use std::process::{Command, Output};

/// A broker with data of its own, which ends with its owner.
pub struct Broker {
    data: tempfile::TempDir,
    /// The environment of `riverrun.toml` that it is.
    pub environment: String,
    admin_url: String,
}

impl Broker {
    /// Starts a broker; says what is missing where there cannot be one.
    pub fn start() -> Option<Broker> {
        if !Broker::is_possible() {
            return None;
        }
        let data = tempfile::tempdir().expect("a folder can be made");
        let started = riverrun("start", data.path());
        let told = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(started.status.success(), "{told}");
        let admin_url = told.split("admin interface ").nth(1).and_then(|rest| rest.split(',').next());
        let admin_url = admin_url.expect("it says where its admin interface is").to_owned();
        let environment = String::from_utf8(started.stdout).expect("what it prints is text");
        Some(Broker { data, environment, admin_url })
    }

    /// Whether a broker can run here; says what is missing.
    pub fn is_possible() -> bool {
        let is_there = |program: &str| Command::new(program).arg("-version").output().is_ok();
        let missing: Vec<&str> = ["java", "mvn"].into_iter().filter(|program| !is_there(program)).collect();
        if !missing.is_empty() {
            eprintln!("THE TESTS OF PULSAR DO NOT RUN: there is no {}", missing.join(" and no "));
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "1"), "they have to run in CI");
        }
        missing.is_empty()
    }

    /// Where clients connect.
    pub fn service_url(&self) -> &str {
        let url = self.environment.split('"').find(|text| text.starts_with("pulsar://"));
        url.expect("its environment says where it is")
    }

    /// Stops it; its data stays.
    pub fn stop(&self) {
        assert!(riverrun("stop", self.data.path()).status.success(), "the broker cannot be stopped");
    }

    /// Starts it again, at the same address, with the data that it had.
    pub fn start_again(&self) {
        assert!(riverrun("start", self.data.path()).status.success(), "the broker cannot be started again");
    }

    /// Ends it as a crash does, and waits until its process is gone; its data stays.
    pub fn kill(&self) {
        let process =
            std::fs::read_to_string(self.data.path().join("process")).expect("a broker that runs has a process");
        let status = std::path::PathBuf::from(format!("/proc/{}/stat", process.trim()));
        // One that has ended and that nobody has waited for is shown with a Z.
        let runs = || std::fs::read_to_string(&status).is_ok_and(|text| !text.contains(") Z "));
        self.signal("KILL");
        while runs() {
            pause(SECOND / 100);
        }
    }

    /// Sends a signal to its processes.
    pub fn signal(&self, name: &str) {
        let folder = self.data.path().to_str().expect("the folder's name is text");
        let sent = Command::new("pkill").args([&format!("-{name}"), "-f", folder]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "the broker cannot be signalled");
    }

    /// Makes the whole cluster again, at the same address: nothing of what it had is there, and its ids begin anew.
    pub fn make_again(&self) {
        self.stop();
        for entry in std::fs::read_dir(self.data.path()).expect("the folder can be listed") {
            let entry = entry.expect("an entry can be read");
            let is_folder = entry.file_type().expect("an entry has a type").is_dir();
            let removed = match is_folder {
                true => std::fs::remove_dir_all(entry.path()),
                false if entry.file_name() == "ports" => Ok(()),
                false => std::fs::remove_file(entry.path()),
            };
            removed.expect("the data can be removed");
        }
        self.start_again();
    }

    /// A request to its admin interface.
    pub fn admin(&self, method: &str, path: &str) {
        self.admin_with(method, path, "");
    }

    /// A request to its admin interface, with JSON.
    pub fn admin_with(&self, method: &str, path: &str, json: &str) {
        let (status, body) = self.ask(method, path, json);
        assert!((200..300).contains(&status), "{method} {path}: {status} {body}");
    }

    /// The status that a request to its admin interface is answered with.
    pub fn status(&self, method: &str, path: &str) -> u16 {
        self.ask(method, path, "").0
    }

    fn ask(&self, method: &str, path: &str, json: &str) -> (u16, String) {
        self.http().request(method, &format!("/admin/v2/{path}"), json).expect("it answers")
    }

    /// Its admin interface.
    pub fn http(&self) -> Http {
        let address = self.admin_url.strip_prefix("http://").expect("it is asked by HTTP");
        let (host, port) = address.split_once(':').expect("an address has a port");
        Http::new(host, port.parse().expect("a port is a number"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It has ended already where a test stopped it.
        riverrun("stop", self.data.path());
    }
}

fn riverrun(command: &str, data: &Path) -> Output {
    let mut program = Command::new(crate::riverrun());
    program.args(["pulsar", command, "--data"]).arg(data).output().expect("the program starts")
}
