//! Tests of folders over a store in memory whose answers get lost, or which takes a name twice.

use crate::{ObjectFolder, check_exclusive};
use async_trait::async_trait;
use dataflow::{ErrorKind, ProcessingTime};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// Nothing.
    Nothing,
    /// It does every change, and answers every second one with an error.
    AnswersLost,
    /// It does every change twice: the answer is that of the second time.
    Repeats,
    /// It looks whether a name is free, waits, and writes.
    ChecksThenWrites,
    /// It does not look.
    IgnoresCondition,
    /// It is away.
    Away,
}

#[derive(Debug)]
struct FaultyStore {
    inner: InMemory,
    wrong: Wrong,
    changes: AtomicUsize,
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a store of a test")
    }
}

fn away() -> Error {
    Error::Generic { store: "test", source: "no answer".into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let count = self.changes.fetch_add(1, SeqCst);
        let overwrite = PutOptions { mode: PutMode::Overwrite, ..PutOptions::default() };
        match self.wrong {
            Wrong::Away => Err(away()),
            Wrong::Repeats => {
                let _ = self.inner.put_opts(location, payload.clone(), opts.clone()).await;
                self.inner.put_opts(location, payload, opts).await
            }
            Wrong::ChecksThenWrites if opts.mode == PutMode::Create => {
                if self.inner.get_opts(location, GetOptions::default()).await.is_ok() {
                    return self.inner.put_opts(location, payload, opts).await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                self.inner.put_opts(location, payload, overwrite).await
            }
            Wrong::IgnoresCondition => self.inner.put_opts(location, payload, overwrite).await,
            Wrong::AnswersLost if count.is_multiple_of(2) => {
                let _ = self.inner.put_opts(location, payload, opts).await;
                Err(away())
            }
            _ => self.inner.put_opts(location, payload, opts).await,
        }
    }

    async fn put_multipart_opts(&self, at: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.wrong {
            Wrong::Away => Err(away()),
            _ => self.inner.get_opts(location, options).await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.wrong {
            Wrong::Away => locations.map(|_| Err(away())).boxed(),
            _ => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.wrong {
            Wrong::Away => Err(away()),
            _ => self.inner.list_with_delimiter(prefix).await,
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn folder(wrong: Wrong) -> ObjectFolder {
    let store = FaultyStore { inner: InMemory::new(), wrong, changes: AtomicUsize::new(0) };
    ObjectFolder::of_test("s3://lake/a/b", Arc::new(store))
}

/// When stores are tried.
const NOW: ProcessingTime = ProcessingTime(1_000_000);

#[test]
fn what_was_created_by_a_request_whose_answer_was_lost_is_ours() {
    for wrong in [Wrong::Nothing, Wrong::AnswersLost, Wrong::Repeats] {
        let folder = folder(wrong);
        assert!(folder.create("one", b"ours").unwrap(), "{wrong:?}");
        assert!(!folder.create("one", b"theirs").unwrap(), "{wrong:?}");
        assert_eq!(folder.read("one").unwrap().unwrap(), b"ours");
        assert_eq!(folder.read("two").unwrap(), None);
        assert_eq!(folder.names().unwrap(), ["one"]);
        folder.delete("one").unwrap();
        folder.delete("one").unwrap();
        assert!(folder.create("one", b"theirs").unwrap(), "{wrong:?}");
    }
}

#[test]
fn a_large_object_goes_in_parts_and_ranges_of_it_are_read() {
    let folder = folder(Wrong::Nothing).within("state");
    let large: Vec<u8> = (0..17_000_001u32).map(|at| (at % 251) as u8).collect();
    assert!(folder.upload("large", &large).unwrap());
    assert!(folder.upload("small", b"small").unwrap());
    assert_eq!(folder.read("large").unwrap().unwrap(), large);
    let range = |from: u64, bytes: u64| folder.read_range("large", from, bytes).unwrap().unwrap();
    assert_eq!(range(8_388_600, 16), large[8_388_600..8_388_616]);
    assert_eq!(range(17_000_000, 16), large[17_000_000..], "it ends before");
    assert_eq!(range(17_000_001, 1), b"");
    assert_eq!(range(5, 0), b"");
    assert_eq!(folder.read_range("none", 0, 1).unwrap(), None);
    assert_eq!(folder.place_of("large"), "s3://lake/a/b/state/large");
}

#[test]
fn what_lies_in_folders_of_it_is_listed_with_these() {
    let folder = folder(Wrong::Nothing);
    for name in ["z", "a"] {
        folder.create(name, b"").unwrap();
        folder.within("job").within(name).create("manifest", b"").unwrap();
    }
    assert_eq!(
        (folder.names().unwrap(), folder.folders().unwrap()),
        (vec!["a".into(), "z".into()], vec!["job".into()])
    );
    assert_eq!(folder.within("job").folders().unwrap(), ["a", "z"]);
    assert_eq!(folder.within("none").names().unwrap(), [""; 0]);
}

#[test]
fn an_object_is_replaced_by_whoever_has_read_it_last() {
    let folder = folder(Wrong::Nothing);
    assert!(folder.read_version("lease").unwrap().is_none());
    folder.create("lease", b"1").unwrap();
    let (bytes, version) = folder.read_version("lease").unwrap().unwrap();
    assert_eq!(bytes, b"1");
    let next = folder.replace("lease", b"2", &version).unwrap().expect("nobody was faster");
    assert!(folder.replace("lease", b"3", &version).unwrap().is_none());
    assert!(folder.replace("lease", b"3", &next).unwrap().is_some());
}

#[test]
fn a_store_that_gives_a_name_to_two_is_refused_by_name() {
    for fit in [Wrong::Nothing, Wrong::Repeats, Wrong::AnswersLost] {
        check_exclusive(&folder(fit), NOW).unwrap_or_else(|error| panic!("{fit:?}: {error}"));
    }
    for (unfit, why) in [
        (Wrong::ChecksThenWrites, "were told that it is theirs"),
        (Wrong::IgnoresCondition, "were told that it is theirs"),
    ] {
        let folder = folder(unfit);
        let error = check_exclusive(&folder, NOW).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let told = error.chain();
        assert!(
            told.contains("the store of \"s3://lake/a/b\" cannot hold checkpoints") && told.contains(why),
            "{told}"
        );
        assert_eq!(folder.names().unwrap(), [""; 0], "nothing is left of it");
    }
}

#[test]
fn a_store_that_is_away_is_asked_a_few_times_and_named() {
    let folder = folder(Wrong::Away);
    let error = folder.names().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.chain().contains("cannot list \"s3://lake/a/b\""), "{}", error.chain());
    let error = folder.create("one", b"1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
