//! Tests of the whole crate: against onnxruntime's answers, against a naive twin, and with broken files.

mod agreement;
mod build;
mod malformed;
mod twin;
