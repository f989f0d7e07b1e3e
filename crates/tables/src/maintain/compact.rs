//! Compaction.

use model::{Result, TableName};

use super::{MaintenancePolicy, MaintenanceReport};
use crate::Tables;

pub(super) async fn compact(_tables: &Tables, _name: &TableName, _policy: &MaintenancePolicy, _report: &mut MaintenanceReport) -> Result<()> {
    Ok(())
}
