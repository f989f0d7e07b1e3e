//! What this door offers: the one list of APIs and their versions.

use kafka_protocol::messages::ApiKey;

/// An API on offer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) key: ApiKey,
    /// Advertised range.
    pub(crate) min: i16,
    pub(crate) max: i16,
    /// Lowest version that is answered. Lower than advertised never; higher where old clients use the advertised minimum
    /// as a probe for features, see below.
    pub(crate) served_from: i16,
}

const fn offer(key: ApiKey, min: i16, max: i16) -> Offer {
    Offer { key, min, max, served_from: min }
}

/// What this broker can do beyond single requests, as Kafka 4 names it: features and their levels, all of them switched on.
pub(crate) const FEATURES: [(&str, i16); 2] = [
    // The consumer protocol (KIP-848).
    ("group.version", 1),
    // Tells clients to speak the second transaction protocol (KIP-890): Produce 12, EndTxn 5 and TxnOffsetCommit 5 *are* that.
    ("transaction.version", 2),
];

/// Minimums follow Kafka 4.x (KIP-896), maximums Kafka 4.1.
pub(crate) const OFFERS: &[Offer] = &[
    // librdkafka ≤ 2.8 compresses only if Produce version 0 is on offer (KAFKA-18659); nobody sends it.
    Offer { key: ApiKey::Produce, min: 0, max: 13, served_from: 3 },
    offer(ApiKey::Fetch, 4, 18),
    offer(ApiKey::ListOffsets, 1, 10),
    offer(ApiKey::Metadata, 0, 13),
    offer(ApiKey::OffsetCommit, 2, 9),
    offer(ApiKey::OffsetFetch, 1, 9),
    offer(ApiKey::FindCoordinator, 0, 6),
    offer(ApiKey::JoinGroup, 0, 9),
    offer(ApiKey::Heartbeat, 0, 4),
    offer(ApiKey::LeaveGroup, 0, 5),
    offer(ApiKey::SyncGroup, 0, 5),
    offer(ApiKey::DescribeGroups, 0, 6),
    offer(ApiKey::ListGroups, 0, 5),
    // On every listener, as in Kafka: without SASL they answer ILLEGAL_SASL_STATE.
    offer(ApiKey::SaslHandshake, 0, 1),
    offer(ApiKey::ApiVersions, 0, 4),
    offer(ApiKey::CreateTopics, 2, 7),
    offer(ApiKey::DeleteTopics, 1, 6),
    offer(ApiKey::DeleteRecords, 0, 2),
    offer(ApiKey::InitProducerId, 0, 5),
    offer(ApiKey::OffsetForLeaderEpoch, 2, 4),
    offer(ApiKey::AddPartitionsToTxn, 0, 3),
    offer(ApiKey::AddOffsetsToTxn, 0, 4),
    offer(ApiKey::EndTxn, 0, 5),
    offer(ApiKey::WriteTxnMarkers, 1, 1),
    offer(ApiKey::TxnOffsetCommit, 0, 5),
    offer(ApiKey::DescribeAcls, 1, 3),
    offer(ApiKey::CreateAcls, 1, 3),
    offer(ApiKey::DeleteAcls, 1, 3),
    offer(ApiKey::DescribeConfigs, 1, 4),
    offer(ApiKey::AlterConfigs, 0, 2),
    offer(ApiKey::AlterReplicaLogDirs, 1, 2),
    offer(ApiKey::DescribeLogDirs, 1, 4),
    offer(ApiKey::SaslAuthenticate, 0, 2),
    offer(ApiKey::CreatePartitions, 0, 3),
    offer(ApiKey::DeleteGroups, 0, 2),
    offer(ApiKey::ElectLeaders, 0, 2),
    offer(ApiKey::IncrementalAlterConfigs, 0, 1),
    offer(ApiKey::AlterPartitionReassignments, 0, 1),
    offer(ApiKey::ListPartitionReassignments, 0, 0),
    offer(ApiKey::OffsetDelete, 0, 0),
    offer(ApiKey::DescribeClientQuotas, 0, 1),
    offer(ApiKey::AlterClientQuotas, 0, 1),
    offer(ApiKey::DescribeUserScramCredentials, 0, 0),
    offer(ApiKey::AlterUserScramCredentials, 0, 0),
    offer(ApiKey::DescribeQuorum, 0, 2),
    offer(ApiKey::UpdateFeatures, 0, 2),
    offer(ApiKey::DescribeCluster, 0, 2),
    offer(ApiKey::DescribeProducers, 0, 0),
    offer(ApiKey::DescribeTransactions, 0, 0),
    offer(ApiKey::ListTransactions, 0, 2),
    offer(ApiKey::ConsumerGroupHeartbeat, 0, 1),
    offer(ApiKey::ConsumerGroupDescribe, 0, 1),
    offer(ApiKey::ListConfigResources, 0, 1),
    offer(ApiKey::DescribeTopicPartitions, 0, 0),
];

/// The offer that serves this key and version, with its place in [`OFFERS`].
pub(crate) fn find(key: i16, version: i16) -> Option<(usize, &'static Offer)> {
    let found = OFFERS.iter().enumerate().find(|(_, offer)| offer.key as i16 == key)?;
    (found.1.served_from..=found.1.max).contains(&version).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_stay_within_what_the_codec_knows_and_come_in_order() {
        assert!(OFFERS.is_sorted_by_key(|offer| offer.key as i16));
        for offer in OFFERS {
            let known = offer.key.valid_versions();
            assert!(offer.served_from >= known.min && offer.max <= known.max, "{offer:?} beyond {known}");
        }
    }
}
