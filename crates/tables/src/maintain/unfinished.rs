//! Tables that are made under a name of their own and renamed once they are whole.

use model::{Result, TableName};

use crate::Tables;

/// Then 32 hexadecimal digits.
const PREFIX: &str = "_ctas_";

impl Tables {
    /// A name nobody has, for a table to be filled and then renamed or put in the place of another. If the process dies
    /// before, the next start removes it.
    pub fn unfinished_name(&self, namespace: &str) -> TableName {
        let random = &self.world().random;
        TableName::new(namespace, &format!("{PREFIX}{:016x}{:016x}", random.u64(), random.u64()))
    }

    /// Drops what a process that died has left unfinished, and returns how many. For the start, before anybody makes new
    /// ones. What cannot be dropped is left for the next start.
    pub async fn drop_unfinished(&self) -> Result<usize> {
        let mut dropped = 0;
        for namespace in self.catalog().namespaces().await? {
            for name in self.catalog().tables(&namespace).await?.into_iter().filter(is_unfinished) {
                match self.drop_if_no_stream(&name).await {
                    Ok(done) => dropped += usize::from(done),
                    Err(error) => tracing::warn!(table = %name, %error, "could not remove an unfinished table"),
                }
            }
        }
        Ok(dropped)
    }

    /// A writer with progress may have a table of such a name too.
    async fn drop_if_no_stream(&self, name: &TableName) -> Result<bool> {
        match self.load(name).await? {
            Some(table) if table.progress()?.is_none() => self.drop(name, true).await,
            _ => Ok(false),
        }
    }
}

fn is_unfinished(name: &TableName) -> bool {
    let digits = name.name.strip_prefix(PREFIX);
    digits.is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}
