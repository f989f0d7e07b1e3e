//! Transaction blocks and savepoints, as a state: nothing is taken back, but everybody can be told where they are.

use crate::wire::TransactionStatus;

/// Where the session is with BEGIN … COMMIT.
pub(crate) struct Block {
    status: TransactionStatus,
    /// Statements since BEGIN that wrote: a rollback cannot take them back.
    writes: u64,
    /// Name, and `writes` when it was set.
    savepoints: Vec<(String, u64)>,
}

/// Savepoints of one block.
const SAVEPOINTS_MAX: usize = 1000;

impl Default for Block {
    fn default() -> Self {
        Self { status: TransactionStatus::Idle, writes: 0, savepoints: Vec::new() }
    }
}

/// How a block ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BlockEnd {
    /// The tag to answer with: COMMIT of a failed block is a ROLLBACK.
    pub(crate) tag: &'static str,
    pub(crate) was_open: bool,
    /// It was rolled back, but what it wrote stays.
    pub(crate) kept_writes: bool,
}

impl Block {
    pub(crate) fn status(&self) -> TransactionStatus {
        self.status
    }

    pub(crate) fn is_open(&self) -> bool {
        self.status != TransactionStatus::Idle
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.status == TransactionStatus::Failed
    }

    /// False if a block was open already.
    pub(crate) fn begin(&mut self) -> bool {
        let fresh = !self.is_open();
        if fresh {
            *self = Self { status: TransactionStatus::InBlock, ..Self::default() };
        }
        fresh
    }

    pub(crate) fn fail(&mut self) {
        if self.is_open() {
            self.status = TransactionStatus::Failed;
        }
    }

    pub(crate) fn note_write(&mut self) {
        self.writes += 1;
    }

    /// False if there is no block to set it in, or there are too many.
    pub(crate) fn set_savepoint(&mut self, name: &str) -> bool {
        let possible = self.is_open() && self.savepoints.len() < SAVEPOINTS_MAX;
        if possible {
            self.savepoints.push((name.to_owned(), self.writes));
        }
        possible
    }

    /// False if there is no such savepoint.
    pub(crate) fn release_savepoint(&mut self, name: &str) -> bool {
        let at = self.savepoints.iter().rposition(|(n, _)| n == name);
        at.inspect(|at| self.savepoints.truncate(*at)).is_some()
    }

    /// Back to a savepoint, which stays; a failed block goes on. Says whether something written since stays, or `None` if
    /// there is no such savepoint.
    pub(crate) fn roll_back_to(&mut self, name: &str) -> Option<bool> {
        let at = self.savepoints.iter().rposition(|(n, _)| n == name)?;
        self.savepoints.truncate(at + 1);
        self.status = TransactionStatus::InBlock;
        Some(self.writes > self.savepoints[at].1)
    }

    pub(crate) fn end(&mut self, commit: bool) -> BlockEnd {
        let commits = commit && !self.has_failed();
        let end = BlockEnd {
            tag: if commits { "COMMIT" } else { "ROLLBACK" },
            was_open: self.is_open(),
            kept_writes: self.is_open() && self.writes > 0 && !commits,
        };
        *self = Self::default();
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_block_commits_as_a_rollback_and_says_what_stays() {
        let mut block = Block::default();
        assert!(block.begin() && !block.begin());
        block.note_write();
        block.fail();
        assert_eq!(block.end(true), BlockEnd { tag: "ROLLBACK", was_open: true, kept_writes: true });
        assert_eq!(block.end(true), BlockEnd { tag: "COMMIT", was_open: false, kept_writes: false });
    }

    #[test]
    fn a_savepoint_revives_a_failed_block() {
        let mut block = Block::default();
        assert!(!block.set_savepoint("a"));
        block.begin();
        assert!(block.set_savepoint("a") && block.set_savepoint("b"));
        block.fail();
        assert_eq!(block.roll_back_to("a"), Some(false));
        assert_eq!(block.status(), TransactionStatus::InBlock);
        assert_eq!(block.roll_back_to("b"), None);
        block.note_write();
        assert_eq!(block.roll_back_to("a"), Some(true));
        assert!(block.release_savepoint("a") && !block.release_savepoint("a"));
    }

    #[test]
    fn errors_outside_of_a_block_leave_no_trace() {
        let mut block = Block::default();
        block.fail();
        assert_eq!(block.status(), TransactionStatus::Idle);
    }
}
