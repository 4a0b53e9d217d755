//! What `check` says before a run: whatever a run would refuse, at its place.

use crate::folder::Folder;
use crate::wrong::{plays, published};

/// A project that a run refuses, the run, and what both say.
struct Refused {
    project: fn() -> Folder,
    run: &'static [&'static str],
    place: &'static str,
    told: &'static str,
}

fn sql(text: &str) -> Folder {
    let folder = Folder::empty();
    folder.write("pipelines/m.sql", text);
    folder
}

fn demo(from: &str, to: &str) -> Folder {
    let folder = Folder::demo();
    folder.replace("pipelines/spam.sql", from, to);
    folder
}

/// The project of plays after its archive job, with its SQL changed.
fn archived(from: &str, to: &str) -> Folder {
    let folder = published();
    folder.done(&["run", "archive", "--until-caught-up"]);
    folder.replace("pipelines/plays.sql", from, to);
    folder
}

const RUN: &[&str] = &["run", "--until-caught-up"];
const ARCHIVE: &[&str] = &["run", "archive", "--until-caught-up"];
const PLAYS: &str = "pipelines/plays.sql:4:11: ";

const REFUSED: &[Refused] = &[
    Refused {
        project: || demo("data/messages.csv", "data/mesages.csv"),
        run: RUN,
        place: "pipelines/spam.sql:11:17: ",
        told: "no file matches \"data/mesages.csv\"",
    },
    Refused {
        project: || {
            sql(
                "CREATE STREAM m (n BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY raw.m;\nINSERT INTO lake.m SELECT n FROM m;\n",
            )
        },
        run: RUN,
        place: "pipelines/m.sql:1:74: ",
        told: "table raw.m does not exist in warehouse",
    },
    Refused {
        project: || {
            sql(
                "CREATE STREAM m (n SMALLINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY raw.m LIVE m;\nARCHIVE m;\n",
            )
        },
        run: ARCHIVE,
        place: "pipelines/m.sql:1:76: ",
        told: "which tables cannot hold",
    },
    Refused {
        project: || {
            sql(
                "CREATE STREAM m (n BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE m;\nINSERT INTO lake.m SELECT CAST(n AS DECIMAL(12, 1)) AS d FROM m;\n",
            )
        },
        run: &["run"],
        place: "pipelines/m.sql:2:13: ",
        told: "DECIMAL(12,1), which tables cannot hold",
    },
    Refused {
        project: || demo("models/spam.onnx", "models/spma.onnx"),
        run: RUN,
        place: "pipelines/spam.sql:23:24: ",
        told: "there is no such file; did you mean \"models/spam.onnx\"?",
    },
    Refused {
        project: || {
            sql(
                "CREATE STREAM m (n BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'm.csv' LIVE m;\nINSERT INTO lake.m SELECT n FROM m;\n",
            )
        },
        run: RUN,
        place: "pipelines/m.sql:1:93: ",
        told: "cannot go on live where files end",
    },
    Refused {
        project: || {
            let folder = Folder::demo();
            folder.replace("riverrun.toml", "[env.dev]", "[job.train]\noutputs = [\"lke.*\"]\n\n[env.dev]");
            folder
        },
        run: &["run", "train"],
        place: "riverrun.toml:5:12: ",
        told: "no output is named \"lke.*\"",
    },
    Refused { project: || archived("track TEXT", "song TEXT"), run: RUN, place: PLAYS, told: "has no column \"song\"" },
    Refused { project: || archived(" QUIET NEVER", ""), run: RUN, place: PLAYS, told: "archived with QUIET NEVER" },
    Refused { project: || archived(" QUIET NEVER", ""), run: ARCHIVE, place: PLAYS, told: "archived with QUIET NEVER" },
    Refused {
        project: || {
            let folder = archived("raw.plays", "raw.plays");
            std::fs::remove_dir_all(folder.path().join("topics/plays")).expect("the topic can be removed");
            folder
        },
        run: ARCHIVE,
        place: PLAYS,
        told: "topic plays does not exist in topics, and table raw.plays was archived from it",
    },
];

#[test]
fn what_a_run_refuses_is_told_with_its_place() {
    for one in REFUSED {
        let folder = (one.project)();
        let there = folder.files();
        let checked = folder.run(&["check"]);
        assert_eq!(checked.code, 1, "{}: {}", one.told, checked.err);
        assert!(checked.err.contains(one.place) && checked.err.contains(one.told), "{}: {}", one.told, checked.err);
        assert_eq!(folder.files(), there, "{}: check writes nothing", one.told);
        let ran = folder.run(one.run);
        assert!(ran.code == 1 && ran.err.contains(one.told), "{}: {}", one.told, ran.err);
    }
}

#[test]
fn what_a_run_makes_is_no_fault() {
    // Neither the topic nor the table of the archive is there yet.
    plays().done(&["check"]);
    published().done(&["check"]);
    archived("raw.plays", "raw.plays").done(&["check"]);
}
