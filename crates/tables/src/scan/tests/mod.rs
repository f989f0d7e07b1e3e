//! Laws of the scan.
