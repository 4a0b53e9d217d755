//! Tables that Apache Iceberg's own library for Java writes and reads.

use super::packages::{Jar, done, fetch_jars, installed};
use connector_iceberg::Warehouse;
use std::fs;
use std::path::Path;
use std::process::Command;

const LIBRARY: &str = "iceberg-data-1.10.1";
const JARS: [Jar; 7] = [
    ("org.apache.iceberg", "iceberg-core", "1.10.1", ""),
    ("org.apache.iceberg", "iceberg-data", "1.10.1", ""),
    ("org.apache.iceberg", "iceberg-parquet", "1.10.1", ""),
    ("org.xerial", "sqlite-jdbc", "3.50.3.0", ""),
    ("org.apache.hadoop", "hadoop-client-api", "3.4.1", ""),
    ("org.apache.hadoop", "hadoop-client-runtime", "3.4.1", ""),
    ("org.slf4j", "slf4j-simple", "2.0.17", ""),
];

/// Whether a program in Java can be run here; says loudly what is missing where it cannot.
fn can_run() -> bool {
    let output = |program: &str, argument: &str| Command::new(program).arg(argument).output();
    let has_compiler = output("java", "--list-modules")
        .is_ok_and(|modules| String::from_utf8_lossy(&modules.stdout).contains("jdk.compiler"));
    let mut missing = Vec::new();
    if !has_compiler {
        missing.push("JDK of version 17 or later");
    }
    if output("mvn", "-version").is_err() {
        missing.push("mvn");
    }
    if missing.is_empty() {
        return true;
    }
    eprintln!("THE TESTS OF TABLES THAT JAVA WRITES DO NOT RUN: there is no {}", missing.join(" and no "));
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "1"), "they have to run in CI");
    false
}

/// Runs a program that writes tables into a warehouse in a folder, and their rows into another folder; false, and said
/// loudly, where it cannot be run.
pub fn write_java_tables(program: &Path, warehouse: &Path, rows: &Path) -> bool {
    run_java(program, warehouse, rows, &[])
}

/// Has the same program read tables of the warehouse, and put their rows into a folder.
pub fn read_java_tables(program: &Path, warehouse: &Path, rows: &Path, tables: &[String]) -> bool {
    assert!(!tables.is_empty(), "without tables it writes some");
    run_java(program, warehouse, rows, tables)
}

fn run_java(program: &Path, warehouse: &Path, rows: &Path, tables: &[String]) -> bool {
    if !can_run() {
        return false;
    }
    let library = installed(LIBRARY, &|folder| fetch_jars(folder, &JARS));
    // It makes the catalog, so that the program finds one.
    drop(Warehouse::open(warehouse).expect("a warehouse can be made"));
    let warehouse = fs::canonicalize(warehouse).expect("the warehouse is there");
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"]);
    done(command.arg(format!("{}/lib/*", library.display())).arg(program).args([&warehouse, rows]).args(tables));
    true
}
