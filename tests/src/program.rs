//! The program as a child process: what it says, what it takes, and Ctrl-C.

use crate::machine::{SECOND, now, pause};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How often the end of a process is looked for.
const LOOK: i64 = SECOND / 200;
/// How long a process may take to start, on a machine that does much else.
const START: i64 = 20 * SECOND;

/// A running `riverrun`, which ends with its owner.
pub struct Program {
    child: Child,
    told: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// What it said for people.
    pub told: String,
}

/// What a process has taken since it started.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Microseconds of CPU.
    pub cpu: i64,
    /// How often one of its threads gave up the CPU by itself.
    pub switches: i64,
}

impl Program {
    /// Starts a command in a project.
    pub fn start(project: &Path, arguments: &[&str]) -> Program {
        let mut command = Command::new(crate::riverrun());
        command.arg("--project").arg(project).args(arguments);
        Program::spawn(command)
    }

    /// Starts a program.
    pub fn spawn(mut command: Command) -> Program {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = told.clone();
        let reader = std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| into.lock().expect("no reader fails").push(line));
        });
        Program { child, told, reader }
    }

    /// Waits until it has said something, which it does before its job runs.
    pub fn ready(&mut self) {
        let begun = now();
        while self.lines() == 0 && self.child.try_wait().expect("the process is ours").is_none() {
            assert!(now() < begun + START, "the program says nothing");
            pause(LOOK);
        }
    }

    /// How many lines it has said.
    pub fn lines(&self) -> usize {
        self.told.lock().expect("no reader fails").len()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the program has ended by itself: {:?}", self.told());
    }

    /// Waits for its end, for so many microseconds at most.
    pub fn ended(&mut self, within: i64) -> Option<Ended> {
        let begun = now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the process is ours") {
                self.read_out();
                return Some(Ended { code: status.code(), told: self.told() });
            }
            if now() > begun + within {
                return None;
            }
            pause(LOOK);
        }
    }

    /// Waits until what a process that has ended has said is read. Its own children may keep the pipe open for longer.
    fn read_out(&self) {
        let begun = now();
        while !self.reader.is_finished() && now() < begun + SECOND {
            pause(LOOK);
        }
    }

    /// What its threads wait for, a line each: of one that does not end.
    pub fn threads(&self) -> String {
        let tasks = std::path::PathBuf::from(format!("/proc/{}/task", self.id()));
        let of = |task: &Path, file: &str| fs::read_to_string(task.join(file)).unwrap_or_default().trim().to_owned();
        let line = |task: fs::DirEntry| {
            let task = task.path();
            format!("{}: {} {}\n", of(&task, "comm"), of(&task, "wchan"), of(&task, "syscall"))
        };
        fs::read_dir(tasks).map(|tasks| tasks.flatten().map(line).collect()).unwrap_or_default()
    }

    /// All that it has said.
    pub fn told(&self) -> String {
        self.told.lock().expect("no reader fails").join("\n")
    }

    /// The memory that it holds and the most that it held, in bytes.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let kibibytes = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some((kibibytes("VmRSS:")? << 10, kibibytes("VmHWM:")? << 10))
    }

    /// What it has taken, all threads together.
    pub fn taken(&self) -> Taken {
        let mut taken = Taken { cpu: 0, switches: 0 };
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).expect("the process runs");
        for task in tasks.filter_map(Result::ok) {
            // A thread may end while it is looked at.
            let Ok(schedule) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
            let nanos: i64 = schedule.split(' ').next().and_then(|first| first.parse().ok()).expect("a number");
            let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            taken.cpu += nanos / 1000;
            taken.switches += switches.and_then(|count| count.trim().parse::<i64>().ok()).expect("a number");
        }
        taken
    }
    /// System calls a second over so many seconds, as strace counts them; `None` where it is not installed or may not
    /// trace.
    pub fn system_calls(&self, seconds: u32) -> Option<f64> {
        let arguments = ["-s", "INT", &seconds.to_string(), "strace", "-c", "-f", "-p", &self.id().to_string()];
        let output = Command::new("timeout").args(arguments).output().ok()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        match told.lines().find(|line| line.trim_end().ends_with(" total")) {
            // The columns are: share of time, seconds, microseconds per call, calls, errors where there are any.
            Some(total) => Some(total.split_whitespace().nth(3)?.parse::<f64>().ok()? / f64::from(seconds)),
            // Attached, and not one call was made.
            None if told.contains("attached") => Some(0.0),
            None => None,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
