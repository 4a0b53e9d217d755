//! The program starts. A test of this kind in this package is also what makes `cargo test` build the program, which
//! the tests of the package `tests` start.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::process::Command;

#[test]
fn it_says_its_name_and_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_riverrun")).arg("--version").output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), concat!("riverrun ", env!("CARGO_PKG_VERSION"), "\n"));
}
