//! The programs with the official Java client: compiled once, and the one that is asked for measurements.

use crate::failure;
use crate::python::{succeed, write};
use connector_pulsar::standalone;
use dataflow::Result;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SOURCES: [(&str, &str); 5] = [
    ("Stamp.java", include_str!("../../bench/pulsar/Stamp.java")),
    ("Run.java", include_str!("../../bench/pulsar/Run.java")),
    ("Traffic.java", include_str!("../../bench/pulsar/Traffic.java")),
    ("Loop.java", include_str!("../../bench/pulsar/Loop.java")),
    ("Backlog.java", include_str!("../../bench/pulsar/Backlog.java")),
];

/// What Pulsar's own scripts open for Netty, beside a bound on the heap; the rest is the JVM's own choice.
const JVM: [&str; 7] = [
    "-Xmx512m",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-opens=java.base/sun.net=ALL-UNNAMED",
    "-Djava.net.preferIPv4Stack=true",
    "-Dlog4j2.disableJmx=true",
];

/// The compiled programs and what they need.
pub struct Java {
    classes: PathBuf,
    jars: PathBuf,
}

impl Java {
    /// Fetches the client, the one of the broker's own version, and compiles. What is missing is named: the JDK, Maven.
    pub fn prepare(cache: &Path, programs: &Path) -> Result<Java> {
        let jars = standalone::fetch(programs)?;
        let (sources, classes) = (cache.join("java"), cache.join("classes"));
        std::fs::create_dir_all(&sources).map_err(|error| failure::file("make", &sources, error))?;
        for (name, text) in SOURCES {
            write(&sources.join(name), text)?;
        }
        write(&sources.join("log4j2.xml"), include_str!("../../bench/pulsar/log4j2.xml"))?;
        let mut compiler = Command::new("javac");
        compiler.args(["-nowarn", "-d"]).arg(&classes).arg("-cp").arg(jars.join("*"));
        compiler.args(SOURCES.map(|(name, _)| sources.join(name)));
        if Command::new("javac").arg("-version").output().is_err() {
            return Err(failure::program("javac", "does not start; install JDK 17 or newer, not its runtime alone"));
        }
        succeed(&mut compiler)?;
        Ok(Java { classes, jars })
    }

    /// A command that runs a program.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut path = self.classes.clone().into_os_string();
        path.push(":");
        path.push(self.jars.join("*"));
        let logging = self.classes.with_file_name("java").join("log4j2.xml");
        let mut command = Command::new("java");
        command.args(JVM).arg(format!("-Dlog4j.configurationFile={}", logging.display()));
        command.arg("-cp").arg(path).arg(name).args(arguments);
        command
    }
}

/// The program that puts messages on topics and watches for actions; it ends with its owner.
pub struct Traffic {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Traffic {
    pub fn start(java: &Java, service: &str) -> Result<Traffic> {
        let mut command = java.command("Traffic", &[service]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|error| failure::program("java", error))?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let none = || failure::program("java", "has no pipe");
        Ok(Traffic { requests: requests.ok_or_else(none)?, answers: BufReader::new(answers.ok_or_else(none)?), child })
    }

    /// Sends a request, and waits for its answer.
    pub fn ask(&mut self, request: &str) -> Result<String> {
        let failed = |error| failure::program("the program that puts messages", error);
        writeln!(self.requests, "{request}").map_err(failed)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(failed)?;
        match answer.trim_end().split_once(' ') {
            Some(("ok", told)) => Ok(told.to_owned()),
            Some(("error", told)) => Err(failure::program(format!("the request \"{request}\""), told)),
            _ => Err(failure::program("the program that puts messages", "ended, see above")),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
