//! Every path of a log's directory and every byte in its files. Format version 1; all numbers are big-endian.
//!
//! ```text
//! DIR/lock                        held while a node uses the directory; empty
//! DIR/meta.json                   {"version","cluster_id","next_producer_id"}
//! DIR/checkpoint                  up to where the files below are known to be on disk  (see `checkpoint.rs`)
//! DIR/clean                       there if the last node closed the log: the checkpoint's CRC as text
//! DIR/wal/<n>.wal                 write-ahead log, files are used again and again       (see `wal/format.rs`)
//! DIR/topics/<name>-<id8>/        one topic; its name (at most 200 characters of it) and the start of its id
//!     topic.json                  {"version","name","id","partitions","overrides"}
//!     <partition>/                made with the first append
//!         <base offset>.log       record batches, as clients sent them, offset and epoch patched; 20 digits
//!         <base offset>.index     sparse index of that segment, advisory               (see `partition/index.rs`)
//! DIR/topics/<name>-<id8>.deleted a deleted topic, about to be removed
//! ```
//! Files that are replaced (`meta.json`, `checkpoint`, `clean`, `topic.json`) are replaced atomically through `<name>.tmp`.

use std::path::{Path, PathBuf};

use model::{Offset, PartitionId, TopicId, TopicName};

pub(crate) const FORMAT_VERSION: u32 = 1;

/// Paths below the log's directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout(PathBuf);

/// Characters of a topic's name in the name of its directory: file names have at most 255.
const NAME_CHARACTERS_MAX: usize = 200;
const DELETED: &str = ".deleted";

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(crate) fn meta(&self) -> PathBuf {
        self.0.join("meta.json")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    pub(crate) fn clean(&self) -> PathBuf {
        self.0.join("clean")
    }

    pub(crate) fn wal_dir(&self) -> PathBuf {
        self.0.join("wal")
    }

    pub(crate) fn topics(&self) -> PathBuf {
        self.0.join("topics")
    }

    pub(crate) fn topic(&self, name: &TopicName, id: TopicId) -> PathBuf {
        let name = &name[..name.len().min(NAME_CHARACTERS_MAX)];
        self.topics().join(format!("{name}-{}", &id.simple().to_string()[..8]))
    }
}

pub(crate) fn wal_file(wal_dir: &Path, number: u64) -> PathBuf {
    wal_dir.join(format!("{number}.wal"))
}

pub(crate) fn wal_file_number(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.parse().ok()
}

pub(crate) fn topic_json(topic_dir: &Path) -> PathBuf {
    topic_dir.join("topic.json")
}

pub(crate) fn partition_dir(topic_dir: &Path, partition: PartitionId) -> PathBuf {
    topic_dir.join(partition.to_string())
}

pub(crate) fn deleted(topic_dir: &Path) -> PathBuf {
    let mut name = topic_dir.file_name().unwrap_or_default().to_owned();
    name.push(DELETED);
    topic_dir.with_file_name(name)
}

pub(crate) fn is_deleted(name: &str) -> bool {
    name.ends_with(DELETED)
}

pub(crate) fn segment(partition_dir: &Path, base: Offset) -> PathBuf {
    partition_dir.join(format!("{base:020}.log"))
}

/// Base offset of a segment from its file name.
pub(crate) fn segment_base(name: &str) -> Option<Offset> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 20)?.parse().ok()
}

pub(crate) fn index_of(segment: &Path) -> PathBuf {
    segment.with_extension("index")
}
