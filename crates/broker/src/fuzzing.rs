//! The reading half of the door for fuzz/: from the bytes of a connection to requests, without a log to answer from.
//!
//! Built for tests and for fuzz/ alone, it calls what [`crate::connection`] and [`crate::dispatch`] call, in their order.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{ProduceRequest, RequestKind};
use kafka_protocol::{messages::ApiKey, protocol::Decodable};

use crate::{
    BrokerSettings, connection, dispatch,
    fetch::FetchRequest,
    frame::{Header, Reader},
    handlers::produce,
    login::Request,
    shape, versions,
};

/// Takes the next frame off `inbox` as a connection does: `None` if it is not whole or of a size that is refused.
pub fn next_frame(inbox: &mut Bytes) -> Option<Bytes> {
    let claimed = i32::from_be_bytes(*inbox.first_chunk()?);
    let length = connection::frame_bytes(claimed, BrokerSettings::default().request_bytes_max)?;
    if inbox.len() - 4 < length {
        return None;
    }
    inbox.advance(4);
    Some(inbox.split_to(length))
}

/// Reads a request and returns whether it would have been handled.
///
/// # Panics
/// If what the door's own readers see is not what Kafka's codec sees in the same bytes.
pub fn read(mut frame: Bytes) -> bool {
    let mut reader = Reader::new(&frame);
    let Ok(header) = Header::parse(&mut reader) else { return false };
    let Some((_, offer)) = versions::find(header.key, header.version) else { return false };
    let (key, version) = (offer.key, header.version);
    if dispatch::rest_of_header(&mut reader, key, version).is_err() {
        return false;
    }
    let body = frame.split_off(reader.position());
    match key {
        ApiKey::Produce => produced(&body, version),
        ApiKey::Fetch => FetchRequest::parse(&body, version).is_ok(),
        _ => {
            let Ok(left) = shape::check(key, version, &body) else { return false };
            let mut rest = body;
            let decoded = RequestKind::decode(key, &mut rest, version).is_ok();
            // A walk that sees other lengths than the codec would let it allocate what nobody checked.
            assert!(
                !decoded || rest.len() == left,
                "{key:?} v{version}: the walk leaves {left}, the codec {}",
                rest.len()
            );
            decoded
        }
    }
}

/// Reads a frame as the first of somebody unknown and returns whether it would have been answered.
pub fn read_before_login(frame: Bytes) -> bool {
    Request::read(frame).is_ok_and(|request| request.is_whole())
}

fn produced(body: &Bytes, version: i16) -> bool {
    let Ok(wanted) = produce::Wanted::parse(body, version) else { return false };
    let batches = wanted.topics.iter().flat_map(|topic| &topic.partitions);
    for (_, batch) in batches.clone() {
        let _refusal = batch.as_ref().map(|batch| produce::check(batch, version));
    }
    if let Ok(same) = ProduceRequest::decode(&mut body.clone(), version) {
        let theirs = same.topic_data.iter().flat_map(|topic| &topic.partition_data);
        assert!(batches.map(|(index, batch)| (*index, batch)).eq(theirs.map(|p| (p.index, &p.records))));
    }
    true
}
