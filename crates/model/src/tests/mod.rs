//! Tests of the whole crate: against onnxruntime's answers, against a naive twin, and with broken files.

mod agreement;
mod build;
mod columns;
mod conformance;
mod exports;
mod external_data;
mod hostile;
mod malformed;
mod names;
mod twin;
mod words;
