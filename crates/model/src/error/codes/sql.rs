//! LH05xx: SQL.
codes! {
}
