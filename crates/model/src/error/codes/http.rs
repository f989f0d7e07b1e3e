//! LH09xx: the HTTP door.
codes! {
}
