//! The process of a broker, and what it is started with.

use super::http::Http;
use super::jars::fetch;
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

/// Broker, admin interface and storage.
pub(super) type Ports = [u16; 3];

/// A start takes some 10 s, and much longer on a machine that is busy.
const READY_ATTEMPTS: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(100);

/// The broker ends when the process that started it does: a pipe from there closes, however that process ends.
const SCRIPT: &str = r#"
exec 3<&0
"$@" &
broker=$!
(cat <&3 >/dev/null; kill -9 $broker) 2>/dev/null &
watch=$!
wait $broker
kill $watch 2>/dev/null
"#;

const OPENED: [&str; 7] = [
    "java.base/java.io=ALL-UNNAMED",
    "java.base/java.util.zip=ALL-UNNAMED",
    "java.base/java.nio=ALL-UNNAMED",
    "java.base/jdk.internal.misc=ALL-UNNAMED",
    "java.base/sun.net=ALL-UNNAMED",
    "java.management/sun.management=ALL-UNNAMED",
    "java.base/jdk.internal.platform=ALL-UNNAMED",
];

/// Small memory, a collector without threads, and the compiler that starts fast.
const JVM: [&str; 14] = [
    "-Xms128m",
    "-Xmx384m",
    "-XX:MaxDirectMemorySize=384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dlog4j2.disableJmx=true",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dlog.level=info",
    "-Dlog4j.configurationFile=log4j2.xml",
    "-Dbookkeeper.metadata.bookie.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataBookieDriver",
    "-Dbookkeeper.metadata.client.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataClientDriver",
];

/// A broker with its storage, in a process of its own. It is killed when this is dropped.
pub struct Standalone {
    pub(super) folder: PathBuf,
    pub(super) jars: PathBuf,
    pub(super) settings: String,
    pub(super) ports: Ports,
    pub(super) process: Option<(Child, ChildStdin)>,
    /// What its process has in its environment beside what this one has.
    pub(super) environment: Vec<(String, String)>,
    pub(super) role: Role,
}

/// Which of the brokers of a cluster it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Only,
    /// It has the storage, and a server of metadata at this port.
    First(u16),
    /// It uses those of the first.
    Second(u16),
}

pub(super) fn free_ports() -> Result<Ports> {
    let failed = |error: std::io::Error| Error::unavailable(format!("no port is free on 127.0.0.1: {error}"));
    let mut listeners = Vec::new();
    let mut ports = [0; 3];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        *port = listener.local_addr().map_err(failed)?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |error| Error::unavailable(format!("{path}: {error}"))
}

/// Waits for what the broker makes last: it answers earlier, but its first namespace is not there then.
pub(super) fn wait_until_ready(
    admin: &Http,
    log: &Path,
    mut ended: impl FnMut() -> Result<Option<std::process::ExitStatus>>,
) -> Result<()> {
    let log = log.display();
    for _ in 0..READY_ATTEMPTS {
        if admin.get("/admin/v2/namespaces/pulsar/system").is_ok_and(|(status, _)| status == 200) {
            return Ok(());
        }
        if let Some(status) = ended()? {
            return Err(Error::unavailable(format!("the broker ended with {status} while it started, see {log}")));
        }
        std::thread::park_timeout(PAUSE);
    }
    Err(Error::unavailable(format!("the broker did not become ready, see {log}")))
}

impl Standalone {
    /// Starts a broker whose data is in a folder, and waits until clients can use it.
    ///
    /// The settings are lines of `name=value` that go over the ones that are made for development; `@broker@` in them
    /// stands for the broker's port.
    pub fn start(cache: &Path, folder: &Path, settings: &str) -> Result<Self> {
        Standalone::start_in(&[], cache, folder, settings)
    }

    /// The same for a broker that has more in its environment.
    pub fn start_in(environment: &[(String, String)], cache: &Path, folder: &Path, settings: &str) -> Result<Self> {
        Standalone::start_as(Role::Only, environment, cache, folder, settings)
    }

    /// Starts two brokers of one cluster, each with an environment: topics can go from one to the other. Whoever is asked
    /// for a topic that none has takes it.
    pub fn start_two(
        environments: [&[(String, String)]; 2],
        cache: &Path,
        folder: &Path,
        settings: &str,
    ) -> Result<[Self; 2]> {
        let [port, ..] = free_ports()?;
        let start =
            |role, environment, name| Standalone::start_as(role, environment, cache, &folder.join(name), settings);
        let first = start(Role::First(port), environments[0], "first")?;
        let second = start(Role::Second(port), environments[1], "second")?;
        Ok([first, second])
    }

    fn start_as(
        role: Role,
        environment: &[(String, String)],
        cache: &Path,
        folder: &Path,
        settings: &str,
    ) -> Result<Self> {
        let jars = fetch(cache)?;
        fs::create_dir_all(folder).map_err(at(folder))?;
        let folder = folder.canonicalize().map_err(at(folder))?;
        let (settings, environment) = (settings.to_owned(), environment.to_vec());
        let mut broker = Standalone { folder, jars, settings, ports: free_ports()?, process: None, environment, role };
        broker.restart()?;
        Ok(broker)
    }

    /// Starts the broker again with its data, on the same ports; one that runs is killed first.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.prepare()?;
        self.spawn()?;
        self.wait()
    }

    /// Makes the folder ready for a start: what the broker reads is written, what a killed one left is gone.
    pub(super) fn prepare(&self) -> Result<()> {
        self.write_files()?;
        self.end_sessions()
    }

    /// Ends the sessions that a killed broker had in its own metadata.
    ///
    /// A broker that finds the registration of its storage there deletes it, makes it anew, is told that it was deleted,
    /// and so on without an end: topics then find no storage (measured at 4.0.7: 400 times a second, after one of some
    /// fifty kills).
    fn end_sessions(&self) -> Result<()> {
        let metadata = self.folder.join("metadata");
        if !metadata.exists() {
            return Ok(());
        }
        let program = self.folder.join("tmp").join("EndSessions.java");
        fs::write(&program, include_str!("files/EndSessions.java")).map_err(at(&program))?;
        let mut command = Command::new("java");
        self.log_of(&mut command)?;
        command.args(JVM).arg("-cp").arg(self.jars.join("*"));
        command.arg(self.temporary()).arg(&program).arg(&metadata);
        let status = command.stdin(Stdio::null()).status();
        let status = status.map_err(|error| Error::unavailable(format!("java does not start: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let (folder, log) = (metadata.display(), self.log());
        let log = log.display();
        Err(Error::unavailable(format!(
            "{folder} cannot be opened ({status}), see {log}; a broker that still runs there has to be stopped first"
        )))
    }

    /// The folder that Java unpacks its libraries to.
    fn temporary(&self) -> String {
        format!("-Djava.io.tmpdir={}", self.folder.join("tmp").display())
    }

    /// Lets a command that starts Java write to the log, and run in the folder.
    fn log_of(&self, command: &mut Command) -> Result<()> {
        let log = self.log();
        let output = File::options().create(true).append(true).open(&log).map_err(at(&log))?;
        let errors = output.try_clone().map_err(at(&log))?;
        command.current_dir(&self.folder).stdout(output).stderr(errors);
        Ok(())
    }

    /// Writes what the broker reads when it starts.
    fn write_files(&self) -> Result<()> {
        let temporary = self.folder.join("tmp");
        // A broker that is killed leaves its unpacked libraries there.
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(at(&temporary))?;
        }
        fs::create_dir_all(&temporary).map_err(at(&temporary))?;
        let [broker, admin, _] = self.ports;
        let ports = format!("brokerServicePort={broker}\nwebServicePort={admin}\n");
        let settings = self.settings.replace("@broker@", &broker.to_string());
        // The first sends whoever asks it for a topic of the second through itself, which serves nobody. Its own readers of
        // the policies of topics would wait so for ever, and the topics with them.
        let without_policies = "topicLevelPoliciesEnabled=false\nsystemTopicEnabled=false\n";
        let metadata = match self.role {
            Role::Only => String::new(),
            Role::First(_) => without_policies.to_owned(),
            Role::Second(port) => format!(
                "metadataStoreUrl=zk:127.0.0.1:{port}\nconfigurationMetadataStoreUrl=zk:127.0.0.1:{port}\n{without_policies}"
            ),
        };
        let text = [include_str!("files/standalone.conf"), &ports, &metadata, &settings].join("\n");
        for (name, text) in [("standalone.conf", text.as_str()), ("log4j2.xml", include_str!("files/log4j2.xml"))] {
            let path = self.folder.join(name);
            fs::write(&path, text).map_err(at(&path))?;
        }
        Ok(())
    }

    fn spawn(&mut self) -> Result<()> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh", "java"]);
        self.complete(&mut command)?;
        let child = command.stdin(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| Error::unavailable(format!("no shell starts: {error}")))?;
        let pipe = child.stdin.take().ok_or_else(|| Error::unavailable("the broker has no pipe to watch"))?;
        self.process = Some((child, pipe));
        Ok(())
    }

    /// Adds to a command that starts Java what makes it the broker.
    pub(super) fn complete(&self, command: &mut Command) -> Result<()> {
        self.log_of(command)?;
        let folder = |name: &str| self.folder.join(name);
        command.args(JVM);
        for package in OPENED {
            command.args(["--add-opens", package]);
        }
        command.arg(self.temporary()).arg("-cp").arg(self.jars.join("*"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Role::Second(_) = self.role {
            command.arg("org.apache.pulsar.PulsarBrokerStarter").arg("--broker-conf").arg(folder("standalone.conf"));
            return Ok(());
        }
        command.arg("org.apache.pulsar.PulsarStandaloneStarter").arg("--config").arg(folder("standalone.conf"));
        command.args(["--no-functions-worker", "--no-stream-storage"]);
        command.arg("--metadata-dir").arg(folder("metadata")).arg("--bookkeeper-dir").arg(folder("bookkeeper"));
        command.args(["--bookkeeper-port", &self.ports[2].to_string()]);
        if let Role::First(port) = self.role {
            command.env("PULSAR_STANDALONE_USE_ZOOKEEPER", "1").args(["--zookeeper-port", &port.to_string()]);
            command.arg("--zookeeper-dir").arg(folder("zookeeper"));
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let (log, admin) = (self.log(), self.admin());
        let process = self.process.as_mut();
        let mut child = process.map(|(child, _)| child);
        wait_until_ready(&admin, &log, || match &mut child {
            Some(child) => child.try_wait().map_err(at(&log)),
            None => Ok(None),
        })
    }

    /// Kills the broker, which is what a crash does to it.
    pub fn kill(&mut self) {
        if let Some((mut child, pipe)) = self.process.take() {
            drop(pipe);
            // It was killed by the end of the pipe; what is left is to wait for that.
            let _ = child.wait();
        }
    }

    /// The process that the broker runs in.
    pub fn process(&self) -> Option<u32> {
        self.process.as_ref().map(|(child, _)| child.id())
    }

    /// The file that the broker logs to.
    pub fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// Where clients connect.
    pub fn service_url(&self) -> String {
        format!("pulsar://127.0.0.1:{}", self.ports[0])
    }

    /// The admin interface.
    pub fn admin(&self) -> Http {
        Http::new("127.0.0.1", self.ports[1])
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        self.kill();
    }
}
