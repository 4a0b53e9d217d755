//! Changes to files as the system reports them.

use crate::disk::io_error;
use dataflow::Result;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

const EVENT_BYTES: usize = 64 << 10;
/// How long the thread pauses when the system cannot even wait for changes.
const REST: Duration = Duration::from_millis(50);

/// File systems whose files other machines change, or that report no changes, by their magic numbers.
const SILENT: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x786f_4256, "vboxsf"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
];

/// How changes to a file are learned of.
pub(crate) enum ChangeSource {
    /// The system reports them under the number of this watch.
    Inotify(i32),
    /// By looking at the file again and again, and why.
    Polling(String),
}

/// The system's queue of changes, and a bell that ends a wait for them.
#[derive(Debug)]
pub(crate) struct Notices {
    // Or why there is none.
    queue: std::result::Result<OwnedFd, Errno>,
    bell: OwnedFd,
}

impl Notices {
    pub fn new() -> io::Result<Notices> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Notices { queue: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK), bell })
    }

    /// Watches a file from here on, where the system can.
    pub fn watch(&self, path: &Path) -> Result<ChangeSource> {
        if let Some(reason) = silent(path)? {
            return Ok(ChangeSource::Polling(reason));
        }
        let watch = match &self.queue {
            // A removed file shows in its attributes: readers have it open, so it is not gone yet.
            Ok(queue) => inotify::add_watch(queue, path, WatchFlags::MODIFY | WatchFlags::ATTRIB),
            Err(e) => Err(*e),
        };
        match watch {
            Ok(watch) => Ok(ChangeSource::Inotify(watch)),
            Err(Errno::NOSPC | Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Ok(ChangeSource::Polling(format!(
                "the system has no more watches for \"{}\" (fs.inotify.max_user_watches, max_user_instances)",
                path.display()
            ))),
            Err(Errno::NOSYS) => Ok(ChangeSource::Polling("this system does not tell of changes to files".to_owned())),
            Err(e) => Err(io_error("watch", path, e.into())),
        }
    }

    /// Stops watching a file.
    pub fn forget(&self, watch: i32) {
        if let Ok(queue) = &self.queue {
            // The file may be gone, and its watch with it.
            let _ = inotify::remove_watch(queue, watch);
        }
    }

    /// Ends a wait.
    pub fn ring(&self) {
        // It fails only when it rang so often that no one can have missed it.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Waits for changes, with a timeout if there is one, and returns the watches that changed; `None` when changes
    /// were lost.
    pub fn wait(&self, at_most: Option<Duration>) -> Option<Vec<i32>> {
        let timeout = at_most
            .map(|at_most| Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) });
        let mut waits = vec![PollFd::new(&self.bell, PollFlags::IN)];
        waits.extend(self.queue.as_ref().ok().map(|queue| PollFd::new(queue, PollFlags::IN)));
        match poll(&mut waits, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Some(Vec::new()),
            Err(_) => {
                std::thread::park_timeout(REST);
                return None;
            }
        }
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
        self.changed()
    }

    /// The watches that changed; `None` when changes were lost.
    fn changed(&self) -> Option<Vec<i32>> {
        let Ok(queue) = &self.queue else { return Some(Vec::new()) };
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut events = inotify::Reader::new(queue, &mut buffer);
        let mut watches = Vec::new();
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => return None,
                Ok(event) => watches.push(event.wd()),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        watches.sort_unstable();
        watches.dedup();
        Some(watches)
    }
}

/// Why the system reports no changes in a folder or to a file, if its file system cannot.
pub(crate) fn silent(path: &Path) -> Result<Option<String>> {
    let system = rustix::fs::statfs(path).map_err(|e| io_error("look at", path, e.into()))?;
    Ok(silent_system(system.f_type as u32).map(|name| {
        format!("\"{}\" lies on {name}, which does not tell of what other machines change", path.display())
    }))
}

fn silent_system(number: u32) -> Option<&'static str> {
    SILENT.iter().find(|(of, _)| *of == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(silent_system(0x6969), Some("NFS"));
        assert_eq!(silent_system(0xff53_4d42), Some("CIFS"));
        // ext4, tmpfs, XFS, overlay.
        for number in [0xef53, 0x0102_1994, 0x5846_5342, 0x794c_7630] {
            assert_eq!(silent_system(number), None);
        }
    }
}
