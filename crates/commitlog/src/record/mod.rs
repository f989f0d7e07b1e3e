//! Kafka's record batch (magic 2), as bytes and as records.
//!
//! The log keeps batches byte for byte; what is in here looks into them without copying and makes new ones. Bytes come
//! from strangers: nothing here panics, loops for ever or allocates by a length that somebody merely claims.
//!
//! Vocabulary: a *batch* is a 61-byte [`Header`] and a block of *records*, compressed as a whole; a [`Record`] borrows from
//! the decompressed block.

mod builder;
mod codec;
mod header;
mod marker;
mod reader;
mod recompress;
mod rewrite;
mod varint;

pub use builder::BatchBuilder;
pub use codec::{Codec, Compression, compress, decompress};
pub use header::{HEADER_BYTES, Header, MAGIC, NO_TIMESTAMP};
pub(crate) use header::{NO_SEQUENCE, add_sequence};
pub use marker::Marker;
pub use reader::{Batch, Batches, Headers, Record, Records, batches};
pub use recompress::recompress;
pub(crate) use rewrite::{emptied, rewrite};
