//! Who may cancel what: each connection has a process id and a secret, and whoever knows both may cancel its statement.

use std::collections::{HashMap, hash_map::Entry};

use parking_lot::Mutex;
use tokio::sync::watch;

/// All open connections.
#[derive(Default)]
pub(crate) struct Cancels(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    last_pid: i32,
    by_pid: HashMap<i32, (u32, watch::Sender<u64>)>,
}

/// A connection's entry.
pub(crate) struct CancelKey {
    pub(crate) pid: i32,
    pub(crate) secret: u32,
    pub(crate) cancelled: watch::Receiver<u64>,
}

impl Cancels {
    pub(crate) fn register(&self, secret: u32) -> CancelKey {
        let (sender, cancelled) = watch::channel(0);
        let mut entries = self.0.lock();
        loop {
            entries.last_pid = entries.last_pid.checked_add(1).unwrap_or(1);
            let pid = entries.last_pid;
            if let Entry::Vacant(free) = entries.by_pid.entry(pid) {
                free.insert((secret, sender));
                return CancelKey { pid, secret, cancelled };
            }
        }
    }

    pub(crate) fn forget(&self, pid: i32) {
        self.0.lock().by_pid.remove(&pid);
    }

    /// Nobody is told whether it worked, as the protocol has it.
    pub(crate) fn cancel(&self, pid: i32, secret: &[u8]) {
        if let Some((expected, sender)) = self.0.lock().by_pid.get(&pid)
            && secret == expected.to_be_bytes()
        {
            sender.send_modify(|count| *count += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_cancels() {
        let cancels = Cancels::default();
        let (a, b) = (cancels.register(7), cancels.register(8));
        cancels.cancel(a.pid, &8u32.to_be_bytes());
        cancels.cancel(a.pid, &[]);
        assert!(!a.cancelled.has_changed().expect("open"));
        cancels.cancel(a.pid, &7u32.to_be_bytes());
        assert!(a.cancelled.has_changed().expect("open"));
        assert!(!b.cancelled.has_changed().expect("open"));
        cancels.forget(a.pid);
        cancels.cancel(a.pid, &7u32.to_be_bytes());
    }
}
