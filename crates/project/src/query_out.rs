//! Where the rows of a query are to be written: a file that nothing of the project is.

use crate::open::Project;
use connector_local::Files;
use dataflow::{Error, Result};
use std::path::{Path, PathBuf};

impl Project {
    /// The file that a path names, links followed, if the rows of a query may be written there: one with the name of a
    /// Parquet file, in a folder that is there, which no stream reads and in which no table or topic lies.
    pub fn query_out(&self, path: &Path) -> Result<PathBuf> {
        let shown = path.display();
        let refused = |why: String| Err(Error::invalid(format!("--out \"{shown}\": {why}")));
        let is_parquet = |path: &Path| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
        if !is_parquet(path) {
            return refused(
                "it is written as Parquet, expected a name ending in .parquet; --csv and --json print other formats, \
                 as in `riverrun query \"..\" --csv > rows.csv`"
                    .to_owned(),
            );
        }
        let is_there = path.symlink_metadata().is_ok();
        let file = match path.canonicalize() {
            Ok(file) if file.is_file() => file,
            Ok(_) => return refused("it is no regular file".to_owned()),
            Err(_) if is_there => return refused("it is a link to what is not there".to_owned()),
            Err(_) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                match (folder.canonicalize(), path.file_name()) {
                    (Ok(folder), Some(name)) if folder.is_dir() => folder.join(name),
                    _ => return refused(format!("folder \"{}\" does not exist", folder.display())),
                }
            }
        };
        let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
            return refused("it has no name that is text".to_owned());
        };
        for (pattern, stream) in self.statements.history_files() {
            if Files::would_read(&pattern, self.root(), folder, name)? {
                return refused(format!("stream \"{stream}\" reads it as one of \"{pattern}\", expected another name"));
            }
        }
        for (of, what) in [(Some(self.warehouse_path()), "tables"), (self.topics_path(), "topics")] {
            let Some(of) = of else { continue };
            if of.canonicalize().is_ok_and(|of| folder.starts_with(of)) {
                return refused(format!("the {what} of the project lie there, expected another folder"));
            }
        }
        Ok(file)
    }
}
