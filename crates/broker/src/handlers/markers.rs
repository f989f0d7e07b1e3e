//! Ending by hand a transaction that hangs in a partition (`kafka-transactions.sh abort`, KIP-664).
//!
//! Between brokers this API carries the coordinator's decisions; ours writes its markers itself. So only what it knows nothing of
//! can be ended from outside, and only by aborting: a commit of part of a transaction would be a lie.

use commitlog::{Append, record::Marker, transactions::Identity};
use kafka_protocol::messages::{
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
    write_txn_markers_request::WritableTxnMarker,
    write_txn_markers_response::{
        WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    },
};

use super::{code, errors, partition_of};
use crate::{
    access::{CLUSTER, Operation},
    dispatch::Context,
};

pub(crate) async fn write(context: &Context, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    // Either right will do (`KafkaApis.handleWriteTxnMarkersRequest`).
    let may = match context.may(Operation::Alter, CLUSTER) {
        true => Ok(()),
        false => context.authorize(Operation::ClusterAction, CLUSTER),
    };
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in request.markers {
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in &marker.topics {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for &index in &topic.partition_indexes {
                let result = match may {
                    Ok(()) => abort(context, &marker, &topic.name, index).await,
                    refused => refused,
                };
                let row = WritableTxnMarkerPartitionResult::default().with_partition_index(index);
                partitions.push(row.with_error_code(result.err().unwrap_or(0)));
            }
            let row = WritableTxnMarkerTopicResult::default().with_name(topic.name.clone());
            topics.push(row.with_partitions(partitions));
        }
        markers.push(WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics));
    }
    WriteTxnMarkersResponse::default().with_markers(markers)
}

async fn abort(context: &Context, marker: &WritableTxnMarker, topic: &str, partition: i32) -> Result<(), i16> {
    let log = &context.shared.log;
    let (topic, place) = partition_of(context, topic, partition).ok_or(errors::UNKNOWN_TOPIC_OR_PARTITION)?;
    if marker.transaction_result || topic.name.is_protected() {
        return Err(errors::INVALID_TXN_STATE);
    }
    let who = Identity { producer: marker.producer_id.0, epoch: marker.producer_epoch };
    let producers = log.producers(&place).map_err(|error| code(&error))?;
    match producers.iter().find(|producer| producer.id == who.producer) {
        Some(producer) if producer.epoch > who.epoch => return Err(errors::INVALID_PRODUCER_EPOCH),
        Some(producer) if producer.open_from.is_some() => {}
        _ => return Err(errors::INVALID_TXN_STATE), // Nothing hangs.
    }
    if context.shared.transactions.has_open(who, &place) {
        return Err(errors::INVALID_TXN_STATE); // The coordinator will end it.
    }
    let now = context.shared.world.clock.now_ms();
    let batch = Marker::Abort.batch(who.producer, who.epoch, marker.coordinator_epoch, now);
    log.append(&place, batch, Append { internal: true }).await.map(drop).map_err(|error| code(&error))
}
