//! A broker that the program itself starts and stops.

use std::process::Command;

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
        let is_there = |program: &str| Command::new(program).arg("-version").output().is_ok();
        let missing: Vec<&str> = ["java", "mvn"].into_iter().filter(|program| !is_there(program)).collect();
        if !missing.is_empty() {
            eprintln!("THE TESTS OF PULSAR DO NOT RUN: there is no {}", missing.join(" and no "));
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "1"), "they have to run in CI");
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let started = Command::new(tests::riverrun()).args(["pulsar", "start", "--data"]).arg(data.path()).output();
        let started = started.unwrap();
        let told = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(started.status.success(), "{told}");
        let admin_url =
            told.split("admin interface ").nth(1).and_then(|rest| rest.split(',').next()).unwrap().to_owned();
        Some(Broker { data, environment: String::from_utf8(started.stdout).unwrap(), admin_url })
    }

    /// Stops it; its data stays.
    pub fn stop(&self) {
        let stopped = Command::new(tests::riverrun()).args(["pulsar", "stop", "--data"]).arg(self.data.path()).output();
        assert!(stopped.is_ok_and(|stopped| stopped.status.success()), "the broker cannot be stopped");
    }

    /// Makes the whole cluster again, at the same address: nothing of what it had is there, and its ids begin anew.
    pub fn make_again(&self) {
        self.stop();
        for entry in std::fs::read_dir(self.data.path()).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => std::fs::remove_dir_all(entry.path()).unwrap(),
                false if entry.file_name() == "ports" => {}
                false => std::fs::remove_file(entry.path()).unwrap(),
            }
        }
        let started =
            Command::new(tests::riverrun()).args(["pulsar", "start", "--data"]).arg(self.data.path()).output();
        assert!(started.is_ok_and(|started| started.status.success()), "the broker cannot be started again");
    }

    /// A request to its admin interface.
    pub fn admin(&self, method: &str, path: &str) {
        let address = self.admin_url.strip_prefix("http://").unwrap();
        let (host, port) = address.split_once(':').unwrap();
        let http = connector_pulsar::standalone::Http::new(host, port.parse().unwrap());
        let (status, body) = http.request(method, &format!("/admin/v2/{path}"), "").unwrap();
        assert!((200..300).contains(&status), "{method} {path}: {status} {body}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It has ended already where a test stopped it.
        let _ = Command::new(tests::riverrun()).args(["pulsar", "stop", "--data"]).arg(self.data.path()).output();
    }
}
