//! LH04xx: topics as tables: decoding, inference, the lake writer.
codes! {
}
