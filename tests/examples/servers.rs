//! The examples on a REST catalog and an S3 server by `--env` alone: the rows are those of the run in folders, whoever reads
//! them.

use crate::environment::printed;
use crate::flights::Flights;
use crate::timed;
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::catalogs::{ACCESS_KEY, REGION, RestServer, S3Server, SECRET_KEY, can_start, pyiceberg};

/// Gives a project an environment `prod` whose tables are of the catalog and in the store, and whose topics are these.
fn add_environment(project: &Path, topics: &str, catalog: &RestServer, s3: &S3Server) {
    fs::write(project.join("s3-secret"), SECRET_KEY).expect("the secret can be written");
    let path = project.join("riverrun.toml");
    let settings = fs::read_to_string(&path).expect("the project has settings");
    let (catalog, endpoint) = (catalog.uri(), s3.endpoint());
    let prod = format!(
        "\n[env.prod]\nlive = {{ topics = \"{topics}\" }}\n[env.prod.history]\ncatalog = \"{catalog}\"\ns3 = {{ endpoint = \
         \"{endpoint}\", region = \"{REGION}\", access_key = \"{ACCESS_KEY}\", secret_key = \"file:s3-secret\" }}\n"
    );
    fs::write(path, settings + &prod).expect("the settings can be written");
}

/// What the tables of both environments are like, one line for each table.
fn compared(warehouse: &Path, catalog: &RestServer, s3: &S3Server) -> Vec<String> {
    let mut compare = Command::new(pyiceberg());
    compare.arg(tests::root().join("tests/examples/on_servers.py")).arg(warehouse).arg(catalog.uri());
    printed(compare.args([s3.endpoint().as_str(), ACCESS_KEY, SECRET_KEY])).lines().map(str::to_owned).collect()
}

#[test]
fn flights_have_the_same_rows_on_servers() {
    if !can_start() {
        return;
    }
    let (flights, s3) = (Flights::copy(&["dev"]), S3Server::start());
    let catalog = RestServer::start(Some(&s3));
    add_environment(&flights.path(""), "topics", &catalog, &s3);
    flights.publish("dev", "history");
    for environment in ["dev", "prod"] {
        timed(&format!("the archive in {environment}"), || {
            flights.riverrun(environment, &["run", "archive", "--until-caught-up"])
        });
    }
    flights.publish("dev", "live");
    for environment in ["dev", "prod"] {
        let ran = timed(&format!("flights in {environment}"), || flights.run(environment, 2));
        assert_eq!((ran.history_rows, ran.live_rows), (633_132, 57_822), "{environment}");
    }
    let told = timed("both environments compared", || compared(&flights.path("dev"), &catalog, &s3));
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.iter().any(|line| line == "lake.flights_training: 326368 rows, the same"), "{told:?}");
}

#[test]
fn the_template_has_the_same_rows_on_servers() {
    if !can_start() {
        return;
    }
    let (folder, s3) = (tempfile::tempdir().expect("a folder for the test can be made"), S3Server::start());
    let (demo, catalog) = (folder.path().join("demo"), RestServer::start(Some(&s3)));
    printed(Command::new(tests::riverrun()).arg("init").arg(&demo));
    add_environment(&demo, "topics-prod", &catalog, &s3);
    let mut actions = Vec::new();
    for environment in ["dev", "prod"] {
        let run = |arguments: &[&str]| {
            let mut command = Command::new(tests::riverrun());
            printed(command.arg("-C").arg(&demo).args(["--env", environment]).args(arguments))
        };
        run(&["run"]);
        let told = run(&["tail", "actions", "--from-start", "--until-caught-up", "--json"]);
        let payload = |line: &str| {
            let message: serde_json::Value = serde_json::from_str(line).expect("a message is JSON");
            message["payload"].to_string()
        };
        actions.push(told.lines().map(payload).collect::<Vec<_>>());
    }
    assert!(!actions[0].is_empty());
    assert_eq!(actions[0], actions[1]);
    let told = compared(&demo.join("warehouse"), &catalog, &s3);
    assert_eq!(told.iter().filter(|line| line.ends_with("the same")).count(), 2, "{told:?}");
}
