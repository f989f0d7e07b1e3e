//! The snapshot's summary: what changed, and the totals that its parent's summary makes of it.

use std::collections::HashMap;

use iceberg::spec::{DataContentType, DataFile, Summary};

/// Files and rows that come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    added: Side,
    removed: Side,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Side {
    data_files: u64,
    records: u64,
    bytes: u64,
    delete_files: u64,
    position_deletes: u64,
    equality_deletes: u64,
}

impl Counts {
    pub(super) fn add(&mut self, file: &DataFile) {
        self.added.count(file);
    }

    pub(super) fn remove(&mut self, file: &DataFile) {
        self.removed.count(file);
    }

    /// Everything but the operation. A total whose parent's is unknown stays unknown.
    pub(super) fn summary(&self, parent: Option<&Summary>) -> HashMap<String, String> {
        let (added, removed) = (&self.added, &self.removed);
        // Name of what was added, of what was removed, of the total.
        let lines = [
            ("added-data-files", "deleted-data-files", "total-data-files", added.data_files, removed.data_files),
            ("added-records", "deleted-records", "total-records", added.records, removed.records),
            ("added-files-size", "removed-files-size", "total-files-size", added.bytes, removed.bytes),
            (
                "added-delete-files",
                "removed-delete-files",
                "total-delete-files",
                added.delete_files,
                removed.delete_files,
            ),
            (
                "added-position-deletes",
                "removed-position-deletes",
                "total-position-deletes",
                added.position_deletes,
                removed.position_deletes,
            ),
            (
                "added-equality-deletes",
                "removed-equality-deletes",
                "total-equality-deletes",
                added.equality_deletes,
                removed.equality_deletes,
            ),
        ];
        let mut summary = HashMap::new();
        for (added_name, removed_name, total_name, added, removed) in lines {
            for (name, count) in [(added_name, added), (removed_name, removed)] {
                if count > 0 {
                    summary.insert(name.to_owned(), count.to_string());
                }
            }
            let before = match parent {
                None => Some(0),
                Some(parent) => {
                    parent.additional_properties.get(total_name).and_then(|total| total.parse::<u64>().ok())
                }
            };
            // Another engine's totals may be wrong; a negative one would only make it worse.
            if let Some(total) = before.and_then(|before| (before + added).checked_sub(removed)) {
                summary.insert(total_name.to_owned(), total.to_string());
            }
        }
        summary
    }
}

impl Side {
    fn count(&mut self, file: &DataFile) {
        self.bytes += file.file_size_in_bytes();
        match file.content_type() {
            DataContentType::Data => {
                self.data_files += 1;
                self.records += file.record_count();
            }
            DataContentType::PositionDeletes => {
                self.delete_files += 1;
                self.position_deletes += file.record_count();
            }
            DataContentType::EqualityDeletes => {
                self.delete_files += 1;
                self.equality_deletes += file.record_count();
            }
        }
    }
}
