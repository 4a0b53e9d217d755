//! The example of the repository, on disk and on servers, by `--env` alone.

use crate::project::{Folder, history_of};
use crate::read_by_others;
use std::fs;
use std::path::Path;
use tests::catalogs::{RestServer, S3Server, can_start};

#[test]
fn flights_give_the_same_rows_on_servers() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let root = tempfile::tempdir().unwrap();
    copy(&tests::root().join("examples/flights"), root.path());
    let settings = root.path().join("riverrun.toml");
    let own = fs::read_to_string(&settings).unwrap();
    let history = history_of(&catalog.uri(), &s3.endpoint());
    // When messages have arrived is part of what comes out, so that both read the same topics.
    let prod = format!("{own}\n[env.prod]\nhistory = {{ {history} }}\nlive = {{ topics = \"./topics\" }}\n");
    fs::write(&settings, prod).unwrap();
    let folder = Folder::of(root);
    for half in ["history", "live"] {
        for stream in ["departures", "arrivals", "weather"] {
            let file = folder.path().join(format!("data/{stream}/{half}.parquet"));
            folder.to_end(&["publish", stream, file.to_str().unwrap()], "dev");
        }
        if half == "history" {
            folder.to_end(&["run", "archive", "--until-caught-up"], "dev");
            folder.to_end(&["run", "archive", "--until-caught-up"], "prod");
        }
    }
    folder.to_end(&["run", "--until-caught-up"], "dev");
    // Both write the same actions, too.
    folder.to_end(&["run", "--fresh", "--until-caught-up"], "prod");
    for sql in [
        "SELECT * FROM delay_watch__log ORDER BY ALL",
        "SELECT * FROM lake.flights_training ORDER BY ALL",
        "SELECT count(*) FROM departures",
    ] {
        let rows = |environment| folder.printed(&["query", sql, "--csv"], environment);
        let (local, remote) = (rows("dev"), rows("prod"));
        assert!(local.lines().count() > 1, "{sql}");
        assert!(local == remote, "{sql}: {} rows and {}", local.lines().count(), remote.lines().count());
    }
    let out = folder.path().join("local.parquet");
    let out = out.to_str().unwrap();
    folder.to_end(&["query", "SELECT * FROM lake.flights_training", "--out", out], "dev");
    read_by_others(&catalog.uri(), "lake.flights_training", Some(&s3.endpoint()), &["--same-as", out]);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let name = from.file_name().unwrap().to_string_lossy().into_owned();
        // What runs in the example's own folder left behind is no part of it.
        if ["topics", "warehouse", "_riverrun", "__pycache__"].contains(&name.as_str()) {
            continue;
        }
        match from.is_dir() {
            true => copy(&from, &to.join(name)),
            false => drop(fs::copy(&from, to.join(name)).unwrap()),
        }
    }
}
