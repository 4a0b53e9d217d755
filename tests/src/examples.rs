//! Copies of the examples.

use std::fs;
use std::path::Path;

/// Copies an example, without what runs in its own folder left behind.
pub fn copy_example(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the copy can be made");
    for entry in fs::read_dir(from).expect("the example can be read") {
        let from = entry.expect("the example can be read").path();
        let name = from.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if ["topics", "warehouse", "pulsar", "warehouse-pulsar", "__pycache__"].contains(&name.as_str()) {
            continue;
        }
        if from.is_dir() {
            copy_example(&from, &to.join(name));
        } else {
            fs::copy(&from, to.join(name)).expect("the copy can be made");
        }
    }
}
