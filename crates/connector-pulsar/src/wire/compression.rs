//! Payloads that are compressed as a whole; their size is declared, and capped.

use super::protocol::CompressionType;
use crate::error::{Error, Result};
use bytes::Bytes;
use std::io::{Read, Write};

/// What the declared size may be at most for each byte that is there.
///
/// LZ4 and Snappy have such a bound by their formats, and their libraries allocate the declared size at once. The
/// others are read as streams, and take only what comes out of them.
const LZ4_RATIO_MAX: usize = 255;
const SNAPPY_RATIO_MAX: usize = 64;

/// The kind of a compression by its number in metadata.
pub fn by_number(number: Option<i32>) -> Result<CompressionType> {
    let number = number.unwrap_or_default();
    CompressionType::try_from(number)
        .map_err(|_| Error::lost(format!("a payload has compression {number}, which this client does not know")))
}

fn wrong(kind: CompressionType, what: impl std::fmt::Display) -> Error {
    Error::lost(format!("a payload compressed by {kind} does not decompress: {what}"))
}

/// Decompresses to exactly the declared size.
pub fn decompress(kind: CompressionType, payload: Bytes, declared: usize, bytes_max: usize) -> Result<Bytes> {
    if kind == CompressionType::None {
        return Ok(payload);
    }
    if declared > bytes_max {
        let advice = "raise the greatest size of a message if it is wanted";
        return Err(wrong(kind, format!("it declares {declared} bytes, expected at most {bytes_max}; {advice}")));
    }
    let within = |ratio: usize| {
        let most = payload.len().saturating_mul(ratio);
        let message = format!("it declares {declared} bytes, and {} cannot hold more than {most}", payload.len());
        if declared > most { Err(wrong(kind, message)) } else { Ok(()) }
    };
    let bytes = match kind {
        CompressionType::None => payload.to_vec(),
        CompressionType::Lz4 => {
            within(LZ4_RATIO_MAX)?;
            lz4_flex::block::decompress(&payload, declared).map_err(|error| wrong(kind, error))?
        }
        CompressionType::Snappy => {
            within(SNAPPY_RATIO_MAX)?;
            let inside = snap::raw::decompress_len(&payload).map_err(|error| wrong(kind, error))?;
            if inside != declared {
                return Err(wrong(kind, format!("it has {inside} bytes, {declared} declared")));
            }
            snap::raw::Decoder::new().decompress_vec(&payload).map_err(|error| wrong(kind, error))?
        }
        CompressionType::Zlib => read_declared(flate2::read::ZlibDecoder::new(&payload[..]), declared, kind)?,
        CompressionType::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(&payload[..]).map_err(|error| wrong(kind, error))?;
            read_declared(decoder, declared, kind)?
        }
    };
    if bytes.len() == declared {
        Ok(Bytes::from(bytes))
    } else {
        Err(wrong(kind, format!("it has {} bytes, {declared} declared", bytes.len())))
    }
}

/// Reads a stream to its end, and one byte beyond the declared size at most. The Java client flushes what it compresses by
/// zlib and writes no end, so that a stream which stops after the declared size is whole.
fn read_declared(stream: impl Read, declared: usize, kind: CompressionType) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(declared).unwrap_or(u64::MAX).saturating_add(1);
    match stream.take(most).read_to_end(&mut bytes) {
        Err(error) if bytes.len() != declared => Err(wrong(kind, error)),
        _ => Ok(bytes),
    }
}

/// Compresses a payload.
pub fn compress(kind: CompressionType, payload: &[u8]) -> Result<Bytes> {
    let failed = |error: std::io::Error| Error::invalid(format!("a payload does not compress by {kind}: {error}"));
    let bytes = match kind {
        CompressionType::None => payload.to_vec(),
        CompressionType::Lz4 => lz4_flex::block::compress(payload),
        CompressionType::Snappy => snap::raw::Encoder::new()
            .compress_vec(payload)
            .map_err(|error| Error::invalid(format!("a payload does not compress by {kind}: {error}")))?,
        CompressionType::Zlib => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(payload).map_err(failed)?;
            encoder.finish().map_err(failed)?
        }
        CompressionType::Zstd => zstd::stream::encode_all(payload, 0).map_err(failed)?,
    };
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [CompressionType; 5] = [
        CompressionType::None,
        CompressionType::Lz4,
        CompressionType::Zlib,
        CompressionType::Zstd,
        CompressionType::Snappy,
    ];

    #[test]
    fn a_small_payload_that_declares_much_is_refused() {
        let packed = compress(CompressionType::Zstd, &vec![0; 1 << 20]).unwrap();
        let error = decompress(CompressionType::Zstd, packed.clone(), 1 << 20, 1 << 19).unwrap_err().to_string();
        assert!(error.contains("declares 1048576 bytes, expected at most 524288"), "{error}");
        let error = decompress(CompressionType::Zstd, packed, 100, 1 << 19).unwrap_err().to_string();
        assert!(error.contains("it has 101 bytes, 100 declared"), "{error}");
        for kind in [CompressionType::Lz4, CompressionType::Snappy] {
            let error = decompress(kind, Bytes::from_static(&[0; 10]), 1 << 19, 1 << 20).unwrap_err().to_string();
            assert!(error.contains("cannot hold more than"), "{error}");
        }
    }

    #[test]
    fn a_stream_of_zlib_that_is_flushed_and_has_no_end_is_whole() {
        // As `Deflater` of Java leaves it: some bytes, an empty block, and no checksum.
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        let text = b"message 7 ".repeat(5000);
        encoder.write_all(&text).unwrap();
        encoder.flush().unwrap();
        let flushed = Bytes::copy_from_slice(encoder.get_ref());
        let zlib = |payload: Bytes, declared| decompress(CompressionType::Zlib, payload, declared, 1 << 20);
        assert_eq!(zlib(flushed.clone(), text.len()).unwrap(), text);
        // One that is cut off is not, and neither is one of another size.
        for declared in [text.len() - 1, text.len() + 1] {
            assert!(zlib(flushed.clone(), declared).is_err(), "{declared}");
        }
        assert!(zlib(flushed.slice(..flushed.len() / 2), text.len()).is_err());
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(bytes in proptest::collection::vec(0u8..4, 0..2000)) {
            for kind in ALL {
                let packed = compress(kind, &bytes).unwrap();
                prop_assert_eq!(&decompress(kind, packed, bytes.len(), 1 << 20).unwrap()[..], &bytes[..]);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), declared in 0usize..3000) {
            for kind in ALL {
                let _ = decompress(kind, Bytes::from(bytes.clone()), declared, 2000);
            }
        }
    }
}
