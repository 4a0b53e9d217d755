//! docs/from-pubsub.md: its blocks make a project, and its lines move it off Pub/Sub.

use crate::server::Server;
use std::fs;
use std::process::Command;

/// The texts of all blocks of a kind, one after the other.
fn blocks(page: &str, kind: &str) -> String {
    let mark = format!("```{kind}\n");
    let parts = page.split(&mark).skip(1);
    let texts: Vec<&str> = parts.map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!texts.is_empty(), "no block of {kind}");
    texts.join("\n")
}

#[test]
fn the_page_moves_a_running_job() {
    // Only the first of the tests that start a server builds its program.
    let Some(server) = Server::start() else { return };
    drop(server);
    let page = fs::read_to_string(tests::root().join("docs/from-pubsub.md")).unwrap();
    let kinds = page.lines().filter_map(|line| line.strip_prefix("```")).filter(|kind| !kind.is_empty());
    let unknown: Vec<&str> = kinds.filter(|kind| !["text", "toml", "sql", "bash"].contains(kind)).collect();
    assert!(unknown.is_empty(), "nothing runs {unknown:?}");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("pipelines")).unwrap();
    fs::write(folder.path().join("riverrun.toml"), blocks(&page, "toml")).unwrap();
    fs::write(folder.path().join("pipelines/page.sql"), blocks(&page, "sql")).unwrap();
    let script = format!("trap 'kill %% 2>/dev/null || true; riverrun pubsub stop' EXIT\n{}", blocks(&page, "bash"));
    let programs = tests::riverrun().parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut shell = Command::new("timeout");
    shell.args(["240", "bash", "-euo", "pipefail", "-c", &script]).current_dir(folder.path()).env("PATH", path);
    let ran = shell.output().unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{printed}\n{}", crate::server::told(&ran));
    // Orders 1 to 3 came by Pub/Sub alone, 4 to 6 by both; each is one order, and one action.
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = printed.lines().map(cells).collect();
    for id in 1..=6 {
        let copies = if id < 4 { "1" } else { "2" };
        assert!(rows.contains(&vec![id.to_string(), copies.to_owned(), "1".to_owned()]), "order {id}: {printed}");
    }
    assert!(rows.contains(&vec!["9".to_owned(), "9".to_owned()]), "{printed}");
}
