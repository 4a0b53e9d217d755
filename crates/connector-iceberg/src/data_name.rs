//! Names of data files: whose they are, so that what a run left that nobody commits can be told from what is another's.
//!
//! ```text
//! e<epoch>-<hash of the sink>-w<worker>-<uuid>-<number>.parquet
//! ```

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// How the names of a writer's files begin.
pub struct DataPrefix(String);

impl DataPrefix {
    /// Of a worker, under an epoch of a sink.
    pub fn new(sink: &str, epoch: u64, worker: usize) -> DataPrefix {
        DataPrefix(format!("e{epoch}-{}-w{worker}-{}", sink_hash(sink), Uuid::new_v4()))
    }

    /// The name of a file.
    pub fn file(&self, number: usize) -> String {
        format!("{}-{number:05}.parquet", self.0)
    }
}

/// The epoch under which a sink has written a file of this name; `None` when the file is not the sink's.
pub fn epoch_of(name: &str, sink: &str) -> Option<u64> {
    parts(name).filter(|(hash, _)| *hash == sink_hash(sink)).map(|(_, epoch)| epoch)
}

/// Whether some sink has written a file of this name.
pub fn is_of_a_sink(name: &str) -> bool {
    parts(name).is_some_and(|(hash, _)| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The hash of the sink and the epoch.
fn parts(name: &str) -> Option<(&str, u64)> {
    let (epoch, rest) = name.strip_prefix('e')?.split_once('-')?;
    let (hash, rest) = rest.split_once('-')?;
    let (worker, rest) = rest.strip_prefix('w')?.split_once('-')?;
    let (uuid, number) = rest.strip_suffix(".parquet")?.rsplit_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let are_numbers = is_number(worker) && is_number(number) && is_number(epoch);
    let epoch = (are_numbers && Uuid::try_parse(uuid).is_ok()).then(|| epoch.parse().ok()).flatten()?;
    Some((hash, epoch))
}

fn sink_hash(sink: &str) -> String {
    format!("{:016x}", xxh3_64(sink.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_file_it_is() {
        let name = DataPrefix::new("a.counts", 12, 3).file(7);
        assert_eq!(epoch_of(&name, "a.counts"), Some(12), "{name}");
        assert_eq!(epoch_of(&name, "b.counts"), None, "{name}");
        assert!(is_of_a_sink(&name) && !is_of_a_sink("part-00000-5c0e6d3a.parquet"));
        for wrong in [
            name.replace("e12-", "12-"),
            name.replace("e12-", "e-"),
            name.replace("e12-", "e+1-"),
            name.replace("-w3-", "-"),
            name.replace(".parquet", ".parquet.crc"),
            name.replace("-00007", ""),
            format!(".{name}"),
            "part-00000-5c0e6d3a.parquet".to_owned(),
        ] {
            assert_eq!(epoch_of(&wrong, "a.counts"), None, "{wrong}");
        }
    }
}
