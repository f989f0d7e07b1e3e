//! Transaction blocks, as a state.

use crate::wire::TransactionStatus;

/// Where the session is with BEGIN … COMMIT.
pub(crate) struct Block {
    status: TransactionStatus,
    /// Something was written since BEGIN: a rollback cannot take it back.
    wrote: bool,
}

impl Default for Block {
    fn default() -> Self {
        Self { status: TransactionStatus::Idle, wrote: false }
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
            *self = Self { status: TransactionStatus::InBlock, wrote: false };
        }
        fresh
    }

    pub(crate) fn fail(&mut self) {
        if self.is_open() {
            self.status = TransactionStatus::Failed;
        }
    }

    pub(crate) fn note_write(&mut self) {
        self.wrote = true;
    }

    pub(crate) fn end(&mut self, commit: bool) -> BlockEnd {
        let commits = commit && !self.has_failed();
        let end = BlockEnd {
            tag: if commits { "COMMIT" } else { "ROLLBACK" },
            was_open: self.is_open(),
            kept_writes: self.is_open() && self.wrote && !commits,
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
    fn errors_outside_of_a_block_leave_no_trace() {
        let mut block = Block::default();
        block.fail();
        assert_eq!(block.status(), TransactionStatus::Idle);
    }
}
