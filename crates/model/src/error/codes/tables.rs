//! LH03xx: Iceberg tables, files and the catalog.
codes! {
}
