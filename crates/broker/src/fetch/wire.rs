//! The Fetch response, written by hand so that records are linked in and never copied.

use std::time::Duration;

use bytes::{BufMut, Bytes};
use commitlog::Isolation;

use super::{
    Found, NOWHERE, Want,
    request::{FetchRequest, TopicKey},
    session::Plan,
};
use crate::{
    dispatch::Context,
    frame::{Response, Writer},
    handlers::errors,
    quotas::throttle_ms,
};

/// A response without partitions.
pub(super) fn refuse(context: &Context, code: i16) -> Response {
    let mut writer = begin(context, Duration::ZERO, code, 0, 0);
    writer.count(context.version >= 12, 0);
    end(context, writer)
}

pub(super) fn encode(
    context: &Context,
    request: &FetchRequest,
    plan: &Plan,
    found: &[Found],
    tell: &[bool],
    wait: Duration,
) -> Response {
    let compact = context.version >= 12;
    let told: Vec<(&Want, &Found)> =
        plan.wants.iter().zip(found).zip(tell).filter_map(|(partition, tell)| tell.then_some(partition)).collect();
    // Partitions that follow each other in one topic share its entry.
    let topics: Vec<_> = told.chunk_by(|(a, _), (b, _)| a.topic == b.topic).collect();
    let code = if request.isolation.is_some() { 0 } else { errors::UNKNOWN_SERVER_ERROR };
    let mut writer = begin(context, wait, code, plan.session, told.len() * 64 + topics.len() * 32);
    writer.count(compact, topics.len());
    for partitions in topics {
        match &partitions[0].0.topic {
            TopicKey::Name(name) => writer.text(compact, name),
            TopicKey::Id(id) => writer.out.put_slice(id.as_bytes()),
        }
        writer.count(compact, partitions.len());
        for (want, found) in partitions {
            partition(&mut writer, context.version, request.isolation.unwrap_or_default(), want, found);
        }
        if compact {
            writer.out.put_u8(0);
        }
    }
    end(context, writer)
}

fn begin(context: &Context, wait: Duration, code: i16, session: i32, capacity: usize) -> Writer {
    let version = context.version;
    let mut writer = Writer::new(context.correlation, version >= 12, capacity + 32);
    writer.out.put_i32(throttle_ms(wait));
    if version >= 7 {
        writer.out.put_i16(code);
        writer.out.put_i32(session);
    }
    writer
}

fn end(context: &Context, mut writer: Writer) -> Response {
    if context.version >= 12 {
        writer.out.put_u8(0);
    }
    writer.finish()
}

fn partition(writer: &mut Writer, version: i16, isolation: Isolation, want: &Want, found: &Found) {
    let compact = version >= 12;
    writer.out.put_i32(want.partition);
    writer.out.put_i16(found.error);
    // Together with an error nobody is told how far the partition goes (`FetchResponse.partitionResponse`).
    let bounds = if found.is_error() { &NOWHERE } else { &found.bounds };
    writer.out.put_i64(bounds.high_watermark);
    writer.out.put_i64(bounds.last_stable);
    if version >= 5 {
        writer.out.put_i64(bounds.log_start);
    }
    // Aborted transactions: null for those who do not ask.
    match (isolation, compact) {
        (Isolation::Committed, _) => {
            writer.count(compact, found.aborted.len());
            for aborted in &found.aborted {
                writer.out.put_i64(aborted.producer);
                writer.out.put_i64(aborted.first);
                if compact {
                    writer.out.put_u8(0);
                }
            }
        }
        (Isolation::Uncommitted, true) => writer.varint(0),
        (Isolation::Uncommitted, false) => writer.out.put_i32(-1),
    }
    if version >= 11 {
        writer.out.put_i32(-1); // preferred read replica
    }
    let records: Bytes = found.records.clone();
    writer.link(compact, records);
    if compact {
        writer.out.put_u8(0);
    }
}
