//! How the pages of Parquet files are compressed, as the properties of a table say it by Iceberg's names.

use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use std::collections::HashMap;

/// The codec, and its level where it has some.
const CODEC: &str = "write.parquet.compression-codec";
const LEVEL: &str = "write.parquet.compression-level";
/// The format of new files of rows.
const FORMAT: &str = "write.format.default";
const CODECS: &str = "zstd, snappy, gzip, lz4, brotli or uncompressed";

/// What files are compressed with where a table says nothing, or what is not written here.
pub fn default_compression() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}

/// What the files of a table are compressed with; or which property asks for what is not written here.
pub fn compression(properties: &HashMap<String, String>) -> Result<Compression, String> {
    let level = properties.get(LEVEL).map(|text| text.trim().to_owned());
    let wrong = |least: i64, most: i64| {
        let told = level.as_deref().unwrap_or_default();
        format!("{LEVEL} = {told}, expected a whole number from {least} to {most}")
    };
    let number = |least: i64, most: i64| match &level {
        None => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(level) if (least..=most).contains(&level) => Ok(Some(level)),
            _ => Err(wrong(least, most)),
        },
    };
    let Some(codec) = properties.get(CODEC) else {
        return Ok(number(1, 22)?.and_then(zstd).unwrap_or_else(default_compression));
    };
    Ok(match codec.trim().to_ascii_lowercase().as_str() {
        "zstd" => number(1, 22)?.and_then(zstd).unwrap_or_else(default_compression),
        "gzip" => {
            let level = number(0, 9)?.and_then(|level| GzipLevel::try_new(u32::try_from(level).ok()?).ok());
            Compression::GZIP(level.unwrap_or_default())
        }
        "brotli" => {
            let level = number(0, 11)?.and_then(|level| BrotliLevel::try_new(u32::try_from(level).ok()?).ok());
            Compression::BROTLI(level.unwrap_or_default())
        }
        "snappy" => Compression::SNAPPY,
        // The form that other readers know; the older one is Hadoop's own.
        "lz4" => Compression::LZ4_RAW,
        "uncompressed" | "none" => Compression::UNCOMPRESSED,
        _ => return Err(format!("{CODEC} = {codec}, expected {CODECS}")),
    })
}

fn zstd(level: i64) -> Option<Compression> {
    ZstdLevel::try_new(i32::try_from(level).ok()?).ok().map(Compression::ZSTD)
}

/// What the properties of a table ask for that its files do not have here, one text for each.
pub fn not_followed(properties: &HashMap<String, String>) -> Vec<String> {
    let format = properties.get(FORMAT).filter(|format| !format.trim().eq_ignore_ascii_case("parquet"));
    let format =
        format.map(|format| format!("{FORMAT} = {format}: files are written as Parquet, which every engine reads"));
    let codec = compression(properties).err().map(|wrong| format!("{wrong}: files are compressed with zstd"));
    format.into_iter().chain(codec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(properties: &[(&str, &str)]) -> HashMap<String, String> {
        properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_codec_has_the_level_that_the_table_says() {
        for (codec, level, expected) in [
            ("ZSTD", Some("9"), Compression::ZSTD(ZstdLevel::try_new(9).unwrap())),
            ("zstd", None, default_compression()),
            ("gzip", Some("3"), Compression::GZIP(GzipLevel::try_new(3).unwrap())),
            ("snappy", Some("3"), Compression::SNAPPY),
            ("lz4", None, Compression::LZ4_RAW),
            ("uncompressed", None, Compression::UNCOMPRESSED),
        ] {
            let properties: Vec<(&str, &str)> =
                [(CODEC, codec)].into_iter().chain(level.map(|level| (LEVEL, level))).collect();
            assert_eq!(compression(&of(&properties)), Ok(expected), "{codec}");
        }
        assert_eq!(compression(&of(&[])), Ok(default_compression()));
        let told = compression(&of(&[(CODEC, "zstd"), (LEVEL, "23")])).unwrap_err();
        assert!(told.contains("expected a whole number from 1 to 22"), "{told}");
    }

    #[test]
    fn what_is_not_written_here_is_told() {
        assert!(not_followed(&of(&[(CODEC, "gzip"), (FORMAT, "PARQUET")])).is_empty());
        let told = not_followed(&of(&[(CODEC, "lzo"), (FORMAT, "orc")]));
        assert!(told[0].contains("write.format.default = orc") && told[1].contains("= lzo, expected zstd"), "{told:?}");
    }
}
