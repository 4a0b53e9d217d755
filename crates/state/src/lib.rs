//! Keyed state that freezes at once and counts its bytes: the time-ordered log with cursors, keys with dense ids,
//! keyed tables, timers, and the blobs that state is stored in.
//!
//! State that is bounded by time lives in a [`Log`]; state that is one entry per key in a [`Table`] indexed by the ids
//! of a [`KeyIndex`]. Everything here is plain memory, without a clock; what does not fit goes to a store that the host gives.

mod arena;
mod aside;
mod blob;
mod chunks;
mod group_blobs;
mod key_columns;
mod key_index;
mod keys;
mod log;
mod log_page;
mod number_table;
mod other_fingerprint;
mod page;
mod prefetch;
mod rows;
mod table;
mod table_page;
mod timers;
mod values;

pub use aside::{AsideBytes, AsideFile, Counted, Pieces, Resident, fit};
pub use blob::{Decoder, Encoder, fingerprint, open, seal};
pub use group_blobs::{BlobKeys, GroupBlobs, Stored, read_blobs, read_stored};
pub use key_index::KeyIndex;
pub use keys::Keys;
pub use log::{Log, LogSnapshot};
pub use log_page::{PageCodec, StoredColumn, StoredPage};
pub use number_table::NO_KEY;
pub use other_fingerprint::with_fingerprint;
pub use page::{Page, Shape};
pub use prefetch::prefetch;
pub use rows::{get_rows, put_rows, put_rows_by_group};
pub use table::{Entry, Table};
pub use table_page::TablePage;
pub use timers::Timers;
pub use values::{Values, ValuesSnapshot};
