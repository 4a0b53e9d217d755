//! A folder under real faults: a full disk, a limit on files, two processes, and kill -9 before every system call.
//!
//! What is killed is this test binary with one test of it, [`child`], which does nothing unless it is told where.

use super::sample::{checkpoint, facts, group, names, open};
use crate::look;
use dataflow::{Checkpoint, CheckpointStore, ErrorKind, Scope};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

const FOLDER: &str = "RIVERRUN_TEST_CHECKPOINTS";
/// How many checkpoints a child puts.
const CHECKPOINTS: u64 = 3;

/// A job whose whole state follows from the number of its checkpoint.
fn job(number: u64, bytes: usize) -> Checkpoint {
    let changes = "x".repeat(bytes) + &number.to_string();
    checkpoint(number, vec![group(0, "stays as it is"), group(1, &changes)], vec![group(200, &changes)])
}

/// Goes on from the newest checkpoint in a folder, or begins; says which checkpoints are durable.
fn put_checkpoints(folder: &Path, bytes: usize) -> dataflow::Result<()> {
    let mut run = open(folder, 2)?;
    println!("\nheld");
    let mut number = 0;
    match run.newest()? {
        Some(newest) => {
            let restored = run.go_on(&newest, &facts("counts"))?;
            number = restored.coordinator.number;
            let pieces: Vec<_> = restored.steps.iter().flat_map(|step| super::sample::all(&step.state)).collect();
            let last = (Scope::Group(dataflow::KeyGroup(200)), ("x".repeat(bytes) + &number.to_string()).into_bytes());
            assert_eq!(pieces.last(), Some(&last), "the state of checkpoint {number}");
        }
        None => run.begin(facts("counts"))?,
    }
    for number in number + 1..=number + CHECKPOINTS {
        run.put(&job(number, bytes))?;
        println!("durable {number}");
    }
    Ok(())
}

/// What other tests of this file run as processes of their own.
#[test]
fn child() {
    let Ok(told) = std::env::var(FOLDER) else { return };
    let (bytes, folder) = told.split_once(' ').unwrap();
    if bytes == "wait" {
        let _run = open(Path::new(folder), 1).unwrap();
        println!("\nheld");
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    if let Err(e) = put_checkpoints(Path::new(folder), bytes.parse().unwrap()) {
        println!("refused {}", e.chain());
        std::process::exit(1);
    }
}

/// A command that runs a child under a program.
fn under(program: &[&str], what: &str, folder: &Path) -> Command {
    let child = std::env::current_exe().unwrap();
    let mut command = Command::new(program.first().copied().map_or(child.as_os_str(), |program| program.as_ref()));
    if let [_, arguments @ ..] = program {
        command.args(arguments).arg(&child);
    }
    command.args(["tests::faults::child", "--exact", "--nocapture"]);
    command.env(FOLDER, format!("{what} {}", folder.display())).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The greatest number that was said to be durable.
fn durable(said: &str) -> u64 {
    said.lines().filter_map(|line| line.strip_prefix("durable ")?.parse().ok()).max().unwrap_or(0)
}

#[test]
fn a_process_that_is_killed_anywhere_loses_nothing_that_was_durable() {
    let folder = tempfile::tempdir().unwrap();
    let may_trace =
        Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).status().is_ok_and(|it| it.success());
    if !may_trace {
        eprintln!("strace is missing or may not trace: kills before every system call were NOT tried");
        return;
    }
    let (mut promised, mut kills) = (0, 0);
    for call in ["fsync", "linkat", "unlink", "flock", "write"] {
        for when in 1.. {
            let inject = format!("inject={call}:signal=SIGKILL:when={when}");
            let trace = format!("trace={call}");
            let strace = ["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let output = under(&strace, "9", folder.path()).stderr(Stdio::null()).output().unwrap();
            promised = promised.max(durable(&String::from_utf8_lossy(&output.stdout)));
            let newest = look(folder.path()).unwrap().map_or(0, |newest| newest.coordinator.number);
            assert!(newest >= promised, "{call} {when}: checkpoint {newest} is the newest, {promised} was durable");
            promised = newest;
            if output.status.success() {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 40, "only {kills} kills");
    // The last child came to its end, and has taken away what those before it left.
    let left = names(folder.path());
    let of = |prefix: &str| left.iter().filter(|name| name.starts_with(prefix)).count();
    assert!(of("manifest-") == 2 && of("epoch-") == 1 && of("lock") == 1 && of("state-") <= 3, "{left:?}");
    assert_eq!(left.len(), of("manifest-") + of("epoch-") + of("lock") + of("state-"), "{left:?}");
}

#[test]
fn a_file_is_synced_before_it_has_its_name_and_its_folder_after_that() {
    let folder = tempfile::tempdir().unwrap();
    let trace = tempfile::NamedTempFile::new().unwrap();
    let path = trace.path().display().to_string();
    let strace = ["strace", "-f", "-y", "-o", &path, "-e", "trace=fsync,linkat,unlink"];
    let traced = under(&strace, "9", folder.path()).stderr(Stdio::null()).output();
    if !traced.is_ok_and(|output| output.status.success()) {
        eprintln!("strace is missing or may not trace: the sequence of syncs was NOT looked at");
        return;
    }
    let text = std::fs::read_to_string(trace.path()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut named = 0;
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("linkat(")) {
        let unfinished = line.split('"').nth(1).unwrap();
        let file_first = lines[..at].iter().any(|line| line.contains("fsync(") && line.contains(unfinished));
        assert!(file_first, "{line}");
        let after = lines[at + 1..].iter().take_while(|line| !line.contains("linkat("));
        let folder_next = after
            .into_iter()
            .any(|line| line.contains("fsync(") && line.contains(&format!("{}>", folder.path().display())));
        assert!(folder_next, "{line}");
        named += 1;
    }
    assert_eq!(named, 1 + 2 * CHECKPOINTS, "an epoch, and per checkpoint a file of state and a manifest");
}

#[test]
fn the_lock_is_free_once_its_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = under(&[], "wait", folder.path()).spawn().unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap() == "held"));
    let error = open(folder.path(), 1).err().unwrap();
    assert!(error.to_string().contains(&format!("held by process {} since", holder.id())), "{error}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(open(folder.path(), 1).unwrap().epoch(), 2);
}

#[test]
fn a_file_that_may_not_grow_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let shell = ["bash", "-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""];
    let output = under(&shell, "20000", folder.path()).stderr(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let message =
        "state-0000000001-0000000002\": the file may not grow any further, raise the limit that `ulimit -f` shows";
    assert!(said.contains(message), "{said}");
    assert_eq!(names(folder.path()), ["epoch-0000000001", "lock"], "nothing is left of what was begun");
    put_checkpoints(folder.path(), 20000).unwrap();
}

/// Mounts a file system of so many KiB, or changes its size.
fn mount(folder: &Path, options: &str) -> bool {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "riverrun-test"]).arg(folder).output();
    mounted.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_is_named_and_the_same_checkpoint_can_be_put_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    if !mount(folder.path(), "size=128k") {
        eprintln!("this user may not mount: a full disk was NOT tried");
        return;
    }
    let full = || -> dataflow::Result<Option<u64>> {
        let mut run = open(folder.path(), 1)?;
        run.begin(facts("counts"))?;
        run.put(&job(1, 20_000))?;
        let before = names(folder.path());
        for _ in 0..2 {
            let error = run.put(&job(2, 60_000)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.to_string().contains("the disk is full, free some space"), "{error}");
            assert_eq!(names(folder.path()), before, "nothing is left of what was begun");
        }
        assert!(mount(folder.path(), "remount,size=1m"));
        run.put(&job(2, 60_000))?;
        Ok(look(folder.path())?.map(|newest| newest.coordinator.number))
    };
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(full));
    assert!(Command::new("umount").arg(folder.path()).status().is_ok_and(|status| status.success()));
    assert_eq!(found.unwrap().unwrap(), Some(2));
}
