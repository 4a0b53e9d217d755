//! Holds the layers: who imports whom, who owns which library, one arrow, names, sizes, and the documents.

mod circles;
mod messages;
mod modules;
mod source;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A row of ARCHITECTURE.md's table of parts.
struct Part {
    name: String,
    imports: BTreeSet<String>,
    /// Libraries that only the parts which name them may import; a library is matched by the beginning of its name.
    owns: Vec<String>,
}

/// The table of parts as it stands in ARCHITECTURE.md.
fn parts() -> Vec<Part> {
    let text = std::fs::read_to_string(tests::root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("| crate |")).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut rows = rows.map(cells);
    let heads = rows.next().expect("ARCHITECTURE.md has a table that begins with \"| crate |\"");
    assert_eq!(heads, ["crate", "one sentence", "imports of ours", "the only importer of"]);
    rows.next();
    let list = |cell: &str| cell.split(", ").filter(|name| !["", "none"].contains(name)).map(str::to_owned).collect();
    let part = |cells: Vec<String>| {
        let [name, sentence, imports, owns] = &cells[..] else { panic!("a row with other cells: {cells:?}") };
        assert!(!sentence.is_empty(), "{name} has no sentence");
        let imports: Vec<String> = list(imports);
        Part { name: name.trim_matches('`').to_owned(), imports: imports.into_iter().collect(), owns: list(owns) }
    };
    rows.map(part).collect()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(tests::root())
        .output()
        .expect("cargo metadata starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// The normal and build dependencies of every package of ours.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_package = |package: &Value| {
        let all = package["dependencies"].as_array().expect("a list");
        let normal = all.iter().filter(|dependency| dependency["kind"] != "dev");
        (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
    };
    metadata()["packages"].as_array().expect("a list").iter().map(of_package).collect()
}

/// Packages that are no part of the product may import everything.
fn is_product(name: &str) -> bool {
    name != "tests" && name != "xtask"
}

#[test]
fn imports_are_those_of_the_table_and_go_one_way() {
    let (parts, dependencies) = (parts(), dependencies());
    let named: BTreeSet<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let product: BTreeSet<&str> = dependencies.keys().map(String::as_str).filter(|name| is_product(name)).collect();
    assert_eq!(product, named, "the packages are those of ARCHITECTURE.md's table");
    for (at, part) in parts.iter().enumerate() {
        let imports = dependencies[&part.name].iter().filter(|import| named.contains(import.as_str()));
        assert_eq!(imports.cloned().collect::<BTreeSet<_>>(), part.imports, "what {} imports", part.name);
        let above: BTreeSet<&str> = parts[..at].iter().map(|part| part.name.as_str()).collect();
        let below = part.imports.iter().find(|import| !above.contains(import.as_str()));
        assert!(below.is_none(), "{} imports {below:?}, which stands below it in the table", part.name);
    }
}

#[test]
fn heavy_libraries_are_imported_by_their_owners() {
    let (parts, dependencies) = (parts(), dependencies());
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for part in &parts {
        for library in &part.owns {
            owners.entry(library).or_default().insert(&part.name);
            let imports = dependencies[&part.name].iter().any(|import| import.starts_with(library.as_str()));
            assert!(imports, "{} does not import {library}, which is said to be its own", part.name);
        }
    }
    assert!(owners.len() >= 5, "the table names few libraries: {owners:?}");
    for (name, imports) in dependencies.iter().filter(|(name, _)| is_product(name)) {
        for import in imports {
            // Of libraries whose names begin alike the one with the longest name is meant.
            let named = owners.iter().filter(|(library, _)| import.starts_with(**library));
            let owners = named.max_by_key(|(library, _)| library.len()).map(|(_, owners)| owners);
            let is_owner = owners.is_none_or(|owners| owners.contains(name.as_str()));
            assert!(is_owner, "{name} imports {import}, which belongs to {owners:?}");
        }
    }
}

#[test]
fn the_lock_file_holds_one_of_each() {
    let lock = std::fs::read_to_string(tests::root().join("Cargo.lock")).expect("Cargo.lock is committed");
    for library in ["arrow-array", "parquet", "iceberg", "sqlparser", "object_store"] {
        let count = lock.lines().filter(|line| *line == format!("name = \"{library}\"")).count();
        assert!(count <= 1, "Cargo.lock holds {count} versions of {library}");
    }
}

/// The first command of the README builds the program without what only those need who move off Pub/Sub.
#[test]
fn the_program_is_built_without_the_client_of_pubsub() {
    let tree = |more: &[&str]| {
        let mut tree = Command::new(env!("CARGO"));
        tree.args(["tree", "--package", "riverrun", "--edges", "normal", "--offline", "--prefix", "none"]).args(more);
        let output = tree.current_dir(tests::root()).output().expect("cargo tree starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).contains("google-cloud-pubsub ")
    };
    assert!(!tree(&[]));
    assert!(tree(&["--features", "pubsub"]));
}

/// All files below a folder with one of the endings, without build output.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository can be read") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn no_module_is_a_drawer() {
    for file in files(&tests::root(), &[".rs"]) {
        let below = file.strip_prefix(tests::root()).expect("a file of the repository").to_owned();
        let parts = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        for part in parts {
            let stem = part.trim_end_matches(".rs");
            let drawer = ["utils", "util", "common", "helpers", "misc", "types", "shared"].contains(&stem);
            assert!(!drawer, "{} is named after nothing", file.display());
        }
    }
}

#[test]
fn unsafe_stays_out() {
    for file in files(&tests::root().join("crates"), &[".rs"]) {
        let text = std::fs::read_to_string(&file).expect("a source file can be read");
        let blocks = text.matches(concat!("unsafe", " {")).count();
        // Asking the processor for memory ahead of time has no safe form; everything else does.
        let allowed = if file.ends_with("state/src/prefetch.rs") { text.matches("// SAFETY: ").count() } else { 0 };
        assert!(blocks <= allowed, "{} has an unsafe block", file.display());
    }
}

#[test]
fn every_operator_has_a_naive_twin() {
    let folder = tests::root().join("crates/operators/src");
    let mut operators = 0;
    for file in files(&folder, &[".rs"]) {
        let text = std::fs::read_to_string(&file).expect("a source file can be read");
        if !text.contains("impl Operator for ") {
            continue;
        }
        operators += 1;
        // An operator in a folder is named as the folder is.
        let named = if file.ends_with("mod.rs") { file.parent().expect("a folder").to_owned() } else { file };
        let name = named.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(folder.join(format!("reference/{name}.rs")).exists(), "operator {name} has no reference/{name}.rs");
    }
    assert!(operators >= 8, "only {operators} operators were found");
}

/// The files and functions that a document names in backquotes: `crates/x/src/y.rs` and `crates/x/src/y.rs: name`.
fn named(document: &str) -> Vec<(String, Option<String>)> {
    let is_named = |text: &&str| ["crates/", "tests/"].iter().any(|at| text.starts_with(at)) && text.contains(".rs");
    let quoted = document.split('`').skip(1).step_by(2).filter(is_named);
    quoted
        .map(|text| match text.split_once(": ") {
            Some((path, name)) => (path.to_owned(), Some(name.to_owned())),
            None => (text.to_owned(), None),
        })
        .collect()
}

#[test]
fn what_pages_name_exists() {
    for page in ["ARCHITECTURE.md", "docs/faults.md"] {
        let text = std::fs::read_to_string(tests::root().join(page)).unwrap_or_else(|_| panic!("{page} is not there"));
        let named = named(&text);
        assert!(named.iter().filter(|(_, function)| function.is_some()).count() >= 3, "{page} names no functions");
        assert_named(named);
    }
}

fn assert_named(named: Vec<(String, Option<String>)>) {
    for (path, name) in named {
        let source =
            std::fs::read_to_string(tests::root().join(&path)).unwrap_or_else(|_| panic!("{path} does not exist"));
        let Some(name) = name else { continue };
        let last = name.rsplit("::").next().unwrap_or_default();
        let there = ["fn ", "struct ", "enum ", "trait "].iter().any(|kind| {
            source.match_indices(&format!("{kind}{last}")).any(|(at, found)| {
                source[at + found.len()..].chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '_')
            })
        });
        assert!(there, "{path} has no {name}");
    }
}

#[test]
fn readme_begins_with_the_two_commands() {
    let text = std::fs::read_to_string(tests::root().join("README.md")).expect("README.md");
    let blocks: Vec<&str> = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2, "README.md has fewer than two sh blocks");
    assert!(blocks[0].contains("examples/flights"), "the first command runs examples/flights: {}", blocks[0]);
    let ci = std::fs::read_to_string(tests::root().join(".ci/run")).expect(".ci/run");
    assert!(ci.contains(blocks[1].trim()), ".ci/run does not call {}", blocks[1].trim());
}
