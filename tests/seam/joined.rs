//! Partitions that get their first row after the stream's watermark has started.
