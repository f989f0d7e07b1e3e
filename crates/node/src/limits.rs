//! What the system allows this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the number of files this process may have open as far as it may: each partition in use holds two.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}
