//! LH02xx: the schema registry.
codes! {
}
