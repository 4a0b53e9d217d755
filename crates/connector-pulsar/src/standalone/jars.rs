//! The broker's program, fetched from Maven Central into a cache.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version of the broker.
pub const VERSION: &str = "4.0.7";

const POM: &str = include_str!("files/pom.xml");
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
const JAVA_MIN: u32 = 17;
const ATTEMPTS: usize = 3;

/// The folder with the broker's jars below a cache folder; what is not there is fetched, some 180 MB.
pub fn fetch(cache: &Path) -> Result<PathBuf> {
    check_java()?;
    let folder = cache.join(format!("pulsar-{VERSION}"));
    let failed = |error: std::io::Error| Error::unavailable(format!("{}: {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(failed)?;
    // Several processes may want it at once, and it is complete when its file `ready` is there.
    let lock = File::create(cache.join(format!("pulsar-{VERSION}.lock"))).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let (jars, ready) = (folder.join("lib"), folder.join("ready"));
    let is_ready = fs::read_to_string(&ready).is_ok_and(|text| text == POM);
    if !is_ready {
        let pom = folder.join("pom.xml");
        fs::write(&pom, POM).map_err(failed)?;
        copy_dependencies(&pom, &jars)?;
        fs::write(&ready, POM).map_err(failed)?;
    }
    Ok(jars)
}

/// A command that compiles and runs a Java source file with the broker's classes, among which are those of Pulsar's own
/// Java client, of the same version.
pub fn java(cache: &Path, source: &Path) -> Result<Command> {
    let mut command = Command::new("java");
    // These programs run for seconds, and the compiler and the collector that start fast suit them.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]).arg(fetch(cache)?.join("*")).arg(source);
    Ok(command)
}

fn copy_dependencies(pom: &Path, jars: &Path) -> Result<()> {
    let mut command = Command::new("mvn");
    command.args(["--batch-mode", "--quiet", "--file"]).arg(pom).arg(PLUGIN).arg("-DincludeScope=runtime");
    command.arg(format!("-DoutputDirectory={}", jars.display())).stdin(Stdio::null());
    let mut run = || {
        command.output().map_err(|error| {
            let needs = "a local Pulsar broker needs Maven, and mvn does not start";
            Error::invalid(format!("{needs}: {error}; install Maven 3"))
        })
    };
    // What came is kept, and one of several hundred files fails now and then.
    let mut output = run()?;
    for _ in 1..ATTEMPTS {
        if output.status.success() {
            return Ok(());
        }
        output = run()?;
    }
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().find(|line| line.contains("ERROR")).unwrap_or("it gave no reason").to_owned();
    Err(Error::unavailable(format!("Maven did not fetch Pulsar {VERSION}: {first}")))
}

fn check_java() -> Result<()> {
    let advice = format!("install JDK {JAVA_MIN} or newer");
    let output = Command::new("java").arg("-version").output().map_err(|error| {
        Error::invalid(format!("a local Pulsar broker needs Java, and java does not start: {error}; {advice}"))
    })?;
    let text = String::from_utf8_lossy(&output.stderr);
    let version = text.split('"').nth(1).and_then(|version| version.split(['.', '-', '+']).next()?.parse::<u32>().ok());
    match version {
        Some(version) if version >= JAVA_MIN => Ok(()),
        Some(version) => Err(Error::invalid(format!("a local Pulsar broker does not run on Java {version}; {advice}"))),
        None => Err(Error::invalid(format!("java does not say its version; {advice}"))),
    }
}
