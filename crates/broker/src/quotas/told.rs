//! Telling a client how long it is not heard, in an answer that is written already: how long the answer took is known only then.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::ApiKey;

use crate::frame::Response;

/// Length and correlation id come before everything else.
const HEADER_BYTES: usize = 8;

/// Where `throttle_time_ms` is in an answer.
enum At {
    /// Behind the header and this many bytes.
    Front(usize),
    /// Before the end and this many bytes.
    Back(usize),
}

fn at(key: ApiKey, version: i16) -> Option<At> {
    use ApiKey::*;
    // The first version that has it (the protocol's schemas). Those that are left out have none, or not in a fixed place.
    let (from, at) = match key {
        Produce => (1, At::Back(if version >= 9 { 1 } else { 0 })),
        OffsetDelete => (0, At::Front(2)),
        Fetch | FindCoordinator | Heartbeat | LeaveGroup | SyncGroup | DescribeGroups | ListGroups | DeleteTopics => {
            (1, At::Front(0))
        }
        ListOffsets | JoinGroup | CreateTopics | OffsetForLeaderEpoch => (2, At::Front(0)),
        Metadata | OffsetCommit | OffsetFetch => (3, At::Front(0)),
        DeleteRecords
        | InitProducerId
        | AddPartitionsToTxn
        | AddOffsetsToTxn
        | EndTxn
        | TxnOffsetCommit
        | DescribeAcls
        | CreateAcls
        | DeleteAcls
        | DescribeConfigs
        | AlterConfigs
        | AlterReplicaLogDirs
        | DescribeLogDirs
        | CreatePartitions
        | DeleteGroups
        | ElectLeaders
        | IncrementalAlterConfigs
        | AlterPartitionReassignments
        | ListPartitionReassignments
        | DescribeClientQuotas
        | AlterClientQuotas
        | DescribeUserScramCredentials
        | AlterUserScramCredentials
        | DescribeCluster
        | DescribeProducers
        | DescribeTransactions
        | ListTransactions
        | ConsumerGroupHeartbeat
        | ConsumerGroupDescribe
        | ListConfigResources
        | DescribeTopicPartitions => (0, At::Front(0)),
        _ => return None,
    };
    (version >= from).then_some(at)
}

/// Raises what an answer says to `ms`, where it can say it.
pub(super) fn tell(response: &mut Response, key: ApiKey, version: i16, ms: i32) {
    let Some(at) = at(key, version) else { return };
    let Some(first) = response.chunks.first_mut() else { return };
    let tags = usize::from(key.response_header_version(version) >= 1);
    let place = match at {
        At::Front(behind) => HEADER_BYTES + tags + behind,
        At::Back(before) => first.len().saturating_sub(before + 4),
    };
    let Some(now) = first.get(place..place + 4) else { return };
    if ms > i32::from_be_bytes(now.try_into().expect("four bytes")) {
        let mut patched = BytesMut::from(&first[..]);
        (&mut patched[place..place + 4]).put_i32(ms);
        *first = patched.freeze();
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::{
        messages::*,
        protocol::{Decodable, HeaderVersion, Request},
    };

    use super::*;
    use crate::{
        dispatch::{Outcome, encode_as},
        versions::OFFERS,
    };

    fn told<R: Request>(response: &R::Response, version: i16, ms: i32) -> R::Response {
        let Outcome::Response(mut written) = encode_as(7, version, response) else { panic!("{version}: not written") };
        let key = ApiKey::try_from(R::KEY).expect("a key");
        tell(&mut written, key, version, ms);
        let mut body = written.chunks[0].slice(4..);
        ResponseHeader::decode(&mut body, R::Response::header_version(version)).expect("a header");
        let response = R::Response::decode(&mut body, version).expect("a response");
        assert!(body.is_empty());
        response
    }

    /// Every answer that has a place for it, in every version on offer; nothing else of it changes.
    macro_rules! check {
        ($($request:ty)*) => { $({
            let offer = OFFERS.iter().find(|offer| offer.key as i16 == <$request>::KEY).expect("on offer");
            for version in offer.served_from..=offer.max {
                type Response = <$request as Request>::Response;
                let answer = Response::default();
                let is_told = at(offer.key, version).is_some();
                let mut expected = told::<$request>(&answer, version, 0);
                assert_eq!(expected.throttle_time_ms, 0);
                expected.throttle_time_ms = if is_told { 1234 } else { 0 };
                assert_eq!(told::<$request>(&answer, version, 1234), expected, "{:?} v{version}", offer.key);
                assert_eq!(told::<$request>(&expected, version, 5), expected, "{:?} v{version}: never less", offer.key);
            }
        })* };
    }

    #[test]
    fn a_client_hears_it_where_the_protocol_has_a_place() {
        check! {
            ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest OffsetCommitRequest OffsetFetchRequest
            FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
            DescribeGroupsRequest ListGroupsRequest CreateTopicsRequest DeleteTopicsRequest DeleteRecordsRequest
            InitProducerIdRequest OffsetForLeaderEpochRequest AddPartitionsToTxnRequest AddOffsetsToTxnRequest
            EndTxnRequest TxnOffsetCommitRequest DescribeAclsRequest CreateAclsRequest DeleteAclsRequest
            DescribeConfigsRequest AlterConfigsRequest AlterReplicaLogDirsRequest DescribeLogDirsRequest
            CreatePartitionsRequest DeleteGroupsRequest ElectLeadersRequest IncrementalAlterConfigsRequest
            AlterPartitionReassignmentsRequest ListPartitionReassignmentsRequest OffsetDeleteRequest
            DescribeClientQuotasRequest AlterClientQuotasRequest DescribeUserScramCredentialsRequest
            AlterUserScramCredentialsRequest DescribeClusterRequest DescribeProducersRequest
            DescribeTransactionsRequest ListTransactionsRequest ConsumerGroupHeartbeatRequest
            ConsumerGroupDescribeRequest ListConfigResourcesRequest DescribeTopicPartitionsRequest
        }
    }
}
