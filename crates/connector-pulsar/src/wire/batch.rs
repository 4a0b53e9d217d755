//! Messages that were sent together as one entry.

use super::protocol::SingleMessageMetadata;
use crate::error::{Error, Result};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// What the metadata of the messages of one batch may take together. Clients cut batches by the bytes of their payloads alone,
/// so that properties may be most of one; but decoded strings take more memory than their bytes do.
pub const METADATA_BYTES_MAX: usize = 16 << 20;

/// The messages of a batch, from its payload after decompression.
pub fn split(mut payload: Bytes, count: usize) -> Result<Vec<(SingleMessageMetadata, Bytes)>> {
    let wrong = |at: usize, what: &str| Error::lost(format!("message {at} of a batch of {count}: {what}"));
    // Every message has the 4 bytes of a size and at least 2 bytes of metadata.
    if count > payload.len() / 6 {
        return Err(Error::lost(format!("a batch of {count} messages has {} bytes", payload.len())));
    }
    let mut messages = Vec::with_capacity(count);
    let mut metadata_bytes = 0usize;
    for at in 0..count {
        let size = payload.try_get_u32().map_err(|_| wrong(at, "the batch ends before it"))? as usize;
        metadata_bytes = metadata_bytes.saturating_add(size);
        if size > payload.len() {
            return Err(wrong(at, &format!("its metadata has {size} bytes, but {} are left", payload.len())));
        }
        if metadata_bytes > METADATA_BYTES_MAX.max(count.saturating_mul(64)) {
            let most = METADATA_BYTES_MAX;
            return Err(wrong(at, &format!("keys and properties up to it have over {most} bytes; send fewer at once")));
        }
        let metadata = SingleMessageMetadata::decode(payload.split_to(size))
            .map_err(|error| wrong(at, &format!("its metadata does not decode: {error}")))?;
        let size = usize::try_from(metadata.payload_size).map_err(|_| wrong(at, "its size is negative"))?;
        if size > payload.len() {
            return Err(wrong(at, &format!("it has {size} bytes, but {} are left", payload.len())));
        }
        let body = payload.split_to(size);
        messages.push((metadata, body));
    }
    if payload.is_empty() { Ok(messages) } else { Err(wrong(count, &format!("{} bytes are left", payload.len()))) }
}

/// Appends a message to the payload of a batch.
pub fn append(metadata: &SingleMessageMetadata, payload: &[u8], batch: &mut BytesMut) {
    let size = metadata.encoded_len();
    // Metadata is bounded by the broker's greatest message size, which is far below this.
    batch.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
    batch.put_slice(&metadata.encode_to_vec());
    batch.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol::KeyValue;
    use proptest::prelude::*;

    fn batch_of(payloads: &[Vec<u8>]) -> BytesMut {
        let mut batch = BytesMut::new();
        for payload in payloads {
            let payload_size = i32::try_from(payload.len()).unwrap();
            append(&SingleMessageMetadata { payload_size, ..Default::default() }, payload, &mut batch);
        }
        batch
    }

    proptest! {
        #[test]
        fn a_batch_comes_back(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 1..9)) {
            let found = split(batch_of(&payloads).freeze(), payloads.len()).unwrap();
            let found: Vec<Vec<u8>> = found.iter().map(|(_, payload)| payload.to_vec()).collect();
            prop_assert_eq!(&found, &payloads);
        }

        #[test]
        fn properties_may_be_most_of_a_batch(count in 600usize..1000, size in 2000usize..4000) {
            let mut batch = BytesMut::new();
            let properties = vec![KeyValue { key: "name".to_owned(), value: "x".repeat(size) }];
            let metadata = SingleMessageMetadata { properties, payload_size: 1, ..Default::default() };
            (0..count).for_each(|_| append(&metadata, b"1", &mut batch));
            let found = split(batch.freeze(), count).unwrap();
            prop_assert!(found.len() == count && found.iter().all(|(single, _)| *single == metadata));
        }

        #[test]
        fn a_wrong_batch_is_refused(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 1..9),
            end in any::<proptest::sample::Index>(),
            count in 0usize..100_000,
        ) {
            let batch = batch_of(&payloads).freeze();
            let cut = batch.slice(..end.index(batch.len()));
            prop_assert!(split(cut, payloads.len()).is_err());
            prop_assert_eq!(split(batch, count).is_ok(), count == payloads.len());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0usize..40) {
            let _ = split(Bytes::from(bytes), count);
        }
    }
}
