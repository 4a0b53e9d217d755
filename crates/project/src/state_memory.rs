//! How many bytes the state of a job may take in memory.

use dataflow::{Error, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What is taken where the system does not say how much memory there is.
const UNKNOWN_BYTES: usize = 2 << 30;
/// The least that can be asked for.
const BYTES_MIN: usize = 1 << 10;

const UNITS: [(&str, u32); 5] = [("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

/// The bytes that the state of a job may take in memory: `"2 GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct StateBytes(pub usize);

impl TryFrom<String> for StateBytes {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let wrong = |what: &str| {
            Error::invalid(format!("\"{text}\" {what}, expected a number and B, KiB, MiB, GiB or TiB, such as 2 GiB"))
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim_start());
        let number: f64 = number.parse().map_err(|_| wrong("is no number of bytes"))?;
        if unit.is_empty() {
            return Err(wrong("has no unit"));
        }
        let found = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let &(_, bits) = found.ok_or_else(|| wrong("has an unknown unit"))?;
        let bytes = number * (1u64 << bits) as f64;
        match bytes {
            // A float above the range becomes the greatest number.
            _ if bytes >= BYTES_MIN as f64 => Ok(StateBytes(bytes as usize)),
            _ => Err(wrong("is less than 1 KiB")),
        }
    }
}

impl Default for StateBytes {
    /// Half of what the machine has, or of what the container may take of it.
    fn default() -> Self {
        let half = |bytes: u64| usize::try_from(bytes / 2).unwrap_or(usize::MAX);
        StateBytes(memory_of_machine().map_or(UNKNOWN_BYTES, half).max(BYTES_MIN))
    }
}

/// How many bytes of memory this process can have, as far as the system says.
fn memory_of_machine() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total_of(&text));
    let groups = read(Path::new("/proc/self/cgroup")).map(|text| folders_of_group(&text)).unwrap_or_default();
    let old = PathBuf::from("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    let limits = groups.iter().map(|folder| folder.join("memory.max")).chain([old]);
    let limits = limits.filter_map(|path| read(&path)?.trim().parse().ok());
    limits.chain(machine).min()
}

/// The memory of the machine, of what `/proc/meminfo` says.
fn total_of(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The folders of the group of a process and of those around it, of what `/proc/self/cgroup` says.
fn folders_of_group(text: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let group = text.lines().find_map(|line| line.strip_prefix("0::/")).map(|group| root.join(group));
    let folders = group.iter().flat_map(|group| group.ancestors()).take_while(|folder| folder.starts_with(root));
    folders.map(Path::to_owned).chain([root.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<usize> {
        StateBytes::try_from(text.to_owned()).map(|bytes| bytes.0)
    }

    #[test]
    fn bytes_are_read_and_refused() {
        for (text, read) in
            [("2 GiB", 2 << 30), ("512MiB", 512 << 20), ("1.5 kib", 1536), ("1048576 B", 1 << 20), ("1 TiB", 1 << 40)]
        {
            assert_eq!(bytes(text).unwrap(), read, "{text}");
        }
        for (text, what) in [
            ("", "is no number"),
            ("GiB", "is no number"),
            ("-1 GiB", "is no number"),
            ("2", "has no unit"),
            ("2 GB", "has an unknown unit"),
            ("2 GiB of it", "has an unknown unit"),
            ("0 GiB", "is less than 1 KiB"),
            ("1000 B", "is less than 1 KiB"),
        ] {
            let error = bytes(text).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("such as 2 GiB"), "{error}");
        }
    }

    #[test]
    fn the_memory_of_a_machine_and_of_groups_is_found() {
        assert_eq!(total_of("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total_of("nothing"), None);
        let folders = folders_of_group("12:cpu:/x\n0::/a/b\n");
        let folders: Vec<_> = folders.iter().map(|folder| folder.to_str().unwrap()).collect();
        assert_eq!(folders[..2], ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a"]);
        assert!(folders.contains(&"/sys/fs/cgroup"));
        assert!(StateBytes::default().0 >= BYTES_MIN);
    }
}
