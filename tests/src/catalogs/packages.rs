//! What servers and programs of tests are made of, fetched once from package registries into `~/.cache/riverrun`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package of Maven: group, artifact, version and classifier.
pub type Jar = (&'static str, &'static str, &'static str, &'static str);

/// A folder of the cache that is filled once, whoever comes first.
pub fn installed(name: &str, fill: &dyn Fn(&Path)) -> PathBuf {
    let home = std::env::var("HOME").expect("HOME says where servers are kept");
    let cache = Path::new(&home).join(".cache/riverrun");
    let folder = cache.join(name);
    fs::create_dir_all(&folder).expect("the cache folder can be made");
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("the lock file can be made");
    lock.lock().expect("the lock file can be locked");
    if !folder.join("ready").exists() {
        fill(&folder);
        fs::write(folder.join("ready"), name).expect("the folder can be marked as complete");
    }
    folder
}

pub fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}{}", String::from_utf8_lossy(&output.stdout));
}

/// Puts packages, and those that they need, into the folder `lib` of a folder.
pub fn fetch_jars(folder: &Path, jars: &[Jar]) {
    fs::write(folder.join("pom.xml"), pom(jars)).expect("the list of packages can be written");
    let copy = ["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib", "-DincludeScope=runtime"];
    done(Command::new("mvn").args(copy).current_dir(folder));
}

fn pom(jars: &[Jar]) -> String {
    let mut text = "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
                    <groupId>riverrun</groupId><artifactId>tests</artifactId><version>1</version><dependencies>"
        .to_owned();
    for (group, artifact, version, classifier) in jars {
        let classifier = match *classifier {
            "" => String::new(),
            classifier => format!("<classifier>{classifier}</classifier>"),
        };
        text += &format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>\
             {classifier}</dependency>"
        );
    }
    text + "</dependencies></project>"
}
