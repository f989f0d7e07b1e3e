//! May they? One question for every handler, put to the rules of [`security`].
//!
//! What each API needs, as Kafka's `KafkaApis` asks (its documentation: "Security", "Operations and Resources on Protocols"):
//!
//! | API | needs | refused with |
//! |---|---|---|
//! | Produce | WRITE topic; WRITE transactional id for transactional batches | 29 by topic; 53 |
//! | Fetch | READ topic | 29 by partition |
//! | ListOffsets | DESCRIBE topic | 29 by partition |
//! | OffsetForLeaderEpoch | CLUSTER_ACTION cluster, or DESCRIBE topic | 29 by partition |
//! | Metadata, DescribeTopicPartitions | DESCRIBE topic (not listed otherwise); to make one CREATE cluster or topic | 29 by topic |
//! | FindCoordinator | DESCRIBE group or transactional id | 30, 53 by key |
//! | JoinGroup, SyncGroup, Heartbeat, LeaveGroup | READ group | 30 |
//! | OffsetCommit | READ group, READ topic | 30, 29 by partition |
//! | OffsetFetch | DESCRIBE group, DESCRIBE topic (not listed otherwise) | 30, 29 by partition |
//! | ConsumerGroupHeartbeat | READ group, DESCRIBE topic (by name; no expression stands for it otherwise) | 30, 29 |
//! | ConsumerGroupDescribe | DESCRIBE group, DESCRIBE topic | 30, 29 by group |
//! | DescribeGroups | DESCRIBE group | 30 by group |
//! | ListGroups | DESCRIBE cluster, or DESCRIBE group (not listed otherwise) | |
//! | DeleteGroups | DELETE group | 30 by group |
//! | OffsetDelete | DELETE group, READ topic | 30, 29 by partition |
//! | CreateTopics | CREATE cluster or topic; DESCRIBE_CONFIGS topic to be told its settings | 29 by topic |
//! | DeleteTopics | DELETE cluster or topic | 29 by topic |
//! | DeleteRecords | DELETE topic | 29 by partition |
//! | CreatePartitions | ALTER topic | 29 by topic |
//! | DescribeConfigs | DESCRIBE_CONFIGS topic, group, cluster (for brokers) | 29, 30, 31 by resource |
//! | AlterConfigs, IncrementalAlterConfigs | ALTER_CONFIGS of the same | 29, 30, 31 by resource |
//! | ListConfigResources | DESCRIBE_CONFIGS cluster | 31 |
//! | DescribeLogDirs | DESCRIBE cluster | 31 |
//! | DescribeQuorum, ListPartitionReassignments | DESCRIBE cluster | 31 |
//! | ElectLeaders, AlterPartitionReassignments | ALTER cluster | 31 |
//! | AlterReplicaLogDirs | ALTER cluster | 31 by partition |
//! | WriteTxnMarkers | ALTER or CLUSTER_ACTION cluster | 31 by partition |
//! | InitProducerId | WRITE transactional id; without: IDEMPOTENT_WRITE cluster or WRITE any topic | 53, 31 |
//! | AddPartitionsToTxn | WRITE transactional id, WRITE topic | 53, 29 (55 for the rest) |
//! | AddOffsetsToTxn | WRITE transactional id, READ group | 53, 30 |
//! | EndTxn | WRITE transactional id | 53 |
//! | TxnOffsetCommit | WRITE transactional id, READ group, READ topic | 53, 30, 29 by partition |
//! | DescribeTransactions | DESCRIBE transactional id; DESCRIBE topic (not listed otherwise) | 53 by id |
//! | ListTransactions | DESCRIBE transactional id (not listed otherwise) | |
//! | DescribeProducers | READ topic | 29 by partition |
//! | DescribeClientQuotas; AlterClientQuotas | DESCRIBE_CONFIGS; ALTER_CONFIGS cluster | 31 |
//! | DescribeAcls; CreateAcls, DeleteAcls | DESCRIBE; ALTER cluster | 31 |
//! | DescribeUserScramCredentials; AlterUserScramCredentials | DESCRIBE; ALTER cluster | 31 |
//! | ApiVersions, SaslHandshake, SaslAuthenticate, DescribeCluster | nothing | |

use commitlog::groups::Viewer;
pub(crate) use security::acl::Operation;
use security::{
    acl::{CLUSTER_NAME, ResourceType},
    audit::Refusal,
    authorizer::{Asker, Decision, Resource, Why},
};

use crate::{dispatch::Context, handlers::errors};

/// The cluster, as a resource.
pub(crate) const CLUSTER: Resource<'static> = Resource { kind: ResourceType::Cluster, name: CLUSTER_NAME };

pub(crate) fn topic(name: &str) -> Resource<'_> {
    Resource { kind: ResourceType::Topic, name }
}

pub(crate) fn group(name: &str) -> Resource<'_> {
    Resource { kind: ResourceType::Group, name }
}

pub(crate) fn transactional_id(name: &str) -> Resource<'_> {
    Resource { kind: ResourceType::TransactionalId, name }
}

/// The error code that says a resource of this kind may not be used so.
fn refusal(kind: ResourceType) -> i16 {
    match kind {
        ResourceType::Topic => errors::TOPIC_AUTHORIZATION_FAILED,
        ResourceType::Group => errors::GROUP_AUTHORIZATION_FAILED,
        ResourceType::TransactionalId => errors::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        _ => errors::CLUSTER_AUTHORIZATION_FAILED,
    }
}

impl Context {
    fn asker(&self) -> Asker<'_> {
        Asker { principal: self.client.principal(), host: self.client.peer.ip() }
    }

    /// May the client do this? `Err`: the error code to answer with; the refusal is audited.
    pub(crate) fn authorize(&self, operation: Operation, on: Resource<'_>) -> Result<(), i16> {
        self.told(self.decide(operation, on), operation, on)
    }

    /// May the client see who writes a topic? READ as well, but no record is shown, so that nobody reads the users' topic does
    /// not count: `kafka-transactions.sh find-hanging` asks for every topic there is, and ends at the first refusal.
    pub(crate) fn authorize_producers_of(&self, name: &str) -> Result<(), i16> {
        let (operation, on) = (Operation::Read, topic(name));
        self.told(self.shared.security.authorize(self.asker(), operation, on), operation, on)
    }

    fn told(&self, decision: Decision, operation: Operation, on: Resource<'_>) -> Result<(), i16> {
        match decision {
            Decision::Allowed => Ok(()),
            Decision::Denied(why) => {
                self.audit(operation, on.kind, on.name, why);
                Err(refusal(on.kind))
            }
        }
    }

    /// May the client do this? For lists that leave out what it may not see: nobody asked for that, so nothing is refused.
    pub(crate) fn may(&self, operation: Operation, on: Resource<'_>) -> bool {
        self.decide(operation, on).is_allowed()
    }

    /// Whose eyes the client sees topics with; `None`: everybody sees all of them.
    pub(crate) fn viewer(&self) -> Option<Viewer> {
        let security = self.shared.security.clone();
        if !security.settings.authorizer {
            return None;
        }
        let (principal, host) = (self.client.principal().clone(), self.client.peer.ip());
        Some(Viewer::new(&format!("{principal} from {host}"), move |name| {
            let asker = Asker { principal: &principal, host };
            security.authorize(asker, Operation::Describe, topic(name)).is_allowed()
        }))
    }

    /// May the client do this to at least one topic?
    pub(crate) fn authorize_any_topic(&self, operation: Operation) -> Result<(), i16> {
        match self.shared.security.authorize_any(self.asker(), operation, ResourceType::Topic) {
            Decision::Allowed => Ok(()),
            Decision::Denied(why) => {
                self.audit(operation, ResourceType::Topic, "any", why);
                Err(errors::CLUSTER_AUTHORIZATION_FAILED)
            }
        }
    }

    fn decide(&self, operation: Operation, on: Resource<'_>) -> Decision {
        // Salted passwords are still worth stealing: nobody reads them through the door, super users neither.
        if operation == Operation::Read && on == topic(model::USERS_TOPIC) {
            return Decision::Denied(Why::DenyRule);
        }
        self.shared.security.authorize(self.asker(), operation, on)
    }

    fn audit(&self, operation: Operation, kind: ResourceType, name: &str, why: Why) {
        self.shared.security.refused(Refusal {
            event: "authorization",
            principal: self.client.principal().to_string(),
            peer: self.client.peer.ip().to_canonical().to_string(),
            operation: operation.name().to_owned(),
            resource: format!("{}:{name}", kind.name()),
            why: why.text().to_owned(),
        });
    }

    /// What the client may do to a resource, a bit for each operation (KIP-430).
    pub(crate) fn authorized_operations(&self, on: Resource<'_>) -> i32 {
        use Operation::*;
        let supported: &[Operation] = match on.kind {
            ResourceType::Topic => &[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs],
            ResourceType::Group => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
            ResourceType::Cluster => {
                &[Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite]
            }
            _ => &[],
        };
        let allowed = supported.iter().filter(|operation| self.may(**operation, on));
        allowed.fold(0, |bits, operation| bits | 1 << (*operation as i32))
    }
}
