//! What members and admins ask of a group, and what they are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use model::{Error, Offset, PartitionId, TimestampMs, TopicId, error::codes};

/// Limits and timers of groups (Kafka's names in parentheses).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms`
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max: Duration,
    /// How long the first generation of an empty group waits for more members (`group.initial.rebalance.delay.ms`).
    /// Kafka waits 3 s; we do not, so that a lone consumer starts at once.
    pub initial_rebalance_delay: Duration,
    /// How long a new member may be parked in a join before its client is taken to have given up.
    pub new_member_join_timeout: Duration,
    /// `group.max.size`, `group.consumer.max.size`
    pub members_max: usize,
    /// `group.consumer.session.timeout.ms`: the broker dictates it to members of the consumer protocol (KIP-848).
    pub consumer_session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`
    pub consumer_heartbeat_interval: Duration,
    /// Groups of the consumer protocol that have settings of their own (KIP-848, `GroupConfig.java`).
    pub of_groups: Arc<BTreeMap<String, ConsumerTimes>>,
    /// Most bytes of topic names a member may subscribe to, and of the protocols of one that speaks the classic one.
    pub subscription_bytes_max: usize,
    /// Longest regular expression a member may subscribe to.
    pub regex_bytes_max: usize,
    /// Memory one compiled regular expression may take.
    pub regex_program_bytes_max: usize,
    /// After this long a regular expression is resolved anew for those whose rights may have changed
    /// (`group.consumer.regex.refresh.interval.ms`). Topics that come and go are seen at once.
    pub regex_refresh_interval: Duration,
    /// Groups kept at once, so that made-up group ids cannot fill the memory.
    pub groups_max: usize,
    /// `offsets.retention.minutes`: how long offsets outlive their group.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`
    pub expiry_interval: Duration,
    /// Longest metadata text of a commit (`offset.metadata.max.bytes`).
    pub metadata_bytes_max: usize,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::ZERO,
            new_member_join_timeout: Duration::from_secs(5 * 60),
            members_max: 10_000,
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            of_groups: Arc::default(),
            subscription_bytes_max: 2 << 20,
            regex_bytes_max: 16 << 10,
            regex_program_bytes_max: 1 << 20,
            regex_refresh_interval: Duration::from_secs(60),
            groups_max: 100_000,
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            expiry_interval: Duration::from_secs(600),
            metadata_bytes_max: 4096,
        }
    }
}

impl GroupSettings {
    /// How long a member of this group may be silent, if it speaks the consumer protocol.
    pub fn consumer_session_timeout_of(&self, group: &str) -> Duration {
        let own = self.of_groups.get(group).and_then(|times| times.session_timeout);
        own.unwrap_or(self.consumer_session_timeout)
    }

    /// How often such a member is told to say that it is alive.
    pub fn consumer_heartbeat_interval_of(&self, group: &str) -> Duration {
        let own = self.of_groups.get(group).and_then(|times| times.heartbeat_interval);
        own.unwrap_or(self.consumer_heartbeat_interval)
    }
}

/// What a group of the consumer protocol has instead of what all have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerTimes {
    /// `consumer.session.timeout.ms`
    pub session_timeout: Option<Duration>,
    /// `consumer.heartbeat.interval.ms`
    pub heartbeat_interval: Option<Duration>,
}

/// Why a group said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum GroupError {
    #[error("the metadata of a committed offset is too long")]
    OffsetMetadataTooLarge,
    #[error("the group coordinator cannot write its records")]
    NotAvailable,
    #[error("the member's generation is not the group's")]
    IllegalGeneration,
    #[error("the members of the group have no protocol in common")]
    InconsistentProtocol,
    #[error("the group id is empty")]
    GroupIdInvalid,
    #[error("the group does not know this member")]
    UnknownMember,
    #[error("the session timeout is outside of what the broker allows")]
    InvalidSessionTimeout,
    #[error("the group is rebalancing, so a join is needed")]
    RebalanceInProgress,
    #[error("the group still has members")]
    GroupNotEmpty,
    #[error("there is no such group")]
    GroupIdNotFound,
    #[error("join again with the member id given")]
    MemberIdRequired,
    #[error("the group has as many members as it may")]
    GroupMaxSizeReached,
    #[error("another member took over this group.instance.id")]
    FencedInstanceId,
    #[error("members of the group are subscribed to the topic")]
    SubscribedToTopic,
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("the member's epoch is not the one the group gave it: give up all partitions and join again")]
    FencedMemberEpoch,
    #[error("another member holds this group.instance.id and has not left")]
    UnreleasedInstanceId,
    #[error("the server knows the assignors `uniform` and `range` only")]
    UnsupportedAssignor,
    #[error("the member's epoch is not current: ask again once a heartbeat has brought the new one")]
    StaleMemberEpoch,
    #[error("the regular expression is not valid (RE2 syntax), or takes too much memory")]
    InvalidRegularExpression,
}

impl GroupError {
    /// Error code of the Kafka protocol.
    pub fn kafka_code(self) -> i16 {
        match self {
            Self::OffsetMetadataTooLarge => 12,
            Self::NotAvailable => 15,
            Self::IllegalGeneration => 22,
            Self::InconsistentProtocol => 23,
            Self::GroupIdInvalid => 24,
            Self::UnknownMember => 25,
            Self::InvalidSessionTimeout => 26,
            Self::RebalanceInProgress => 27,
            Self::GroupNotEmpty => 68,
            Self::GroupIdNotFound => 69,
            Self::MemberIdRequired => 79,
            Self::GroupMaxSizeReached => 81,
            Self::FencedInstanceId => 82,
            Self::SubscribedToTopic => 86,
            Self::InvalidRequest(_) => 42,
            Self::FencedMemberEpoch => 110,
            Self::UnreleasedInstanceId => 111,
            Self::UnsupportedAssignor => 112,
            Self::StaleMemberEpoch => 113,
            Self::InvalidRegularExpression => 128,
        }
    }
}

impl From<GroupError> for Error {
    fn from(error: GroupError) -> Self {
        let code = match error {
            GroupError::GroupIdNotFound => codes::GROUP_NOT_FOUND,
            GroupError::GroupNotEmpty | GroupError::SubscribedToTopic => codes::GROUP_NOT_EMPTY,
            GroupError::GroupIdInvalid => codes::GROUP_ID_INVALID,
            GroupError::NotAvailable => codes::GROUPS_UNAVAILABLE,
            _ => codes::GROUP_REFUSED,
        };
        Error::new(code, error.to_string())
    }
}

/// A member's wish to be in the next generation.
#[derive(Clone, Debug, Default)]
pub struct JoinRequest {
    pub group: String,
    /// Empty: the group gives one.
    pub member: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance: Option<String>,
    pub client_id: String,
    /// Address the member speaks from.
    pub client_host: String,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub protocol_type: String,
    /// Names and metadata of the protocols the member can follow, best first.
    pub protocols: Vec<(String, Bytes)>,
    /// The client understands [`GroupError::MemberIdRequired`] (JoinGroup ≥ 4).
    pub knows_member_id_first: bool,
    /// The client understands `skip_assignment` (JoinGroup ≥ 9).
    pub knows_skip_assignment: bool,
}

/// What a member is told when its generation begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAnswer {
    pub error: Option<GroupError>,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    pub member: String,
    /// The leader need not assign: the group keeps what it has.
    pub skip_assignment: bool,
    /// All members with their metadata, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member: String,
    pub instance: Option<String>,
    pub metadata: Bytes,
}

/// A member's wish to learn its assignment; the leader brings everybody's.
#[derive(Clone, Debug, Default)]
pub struct SyncRequest {
    pub who: MemberRef,
    /// Checked against the group's if given.
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignments: Vec<(String, Bytes)>,
}

/// What a member is told in sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncAnswer {
    pub error: Option<GroupError>,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

/// A member of a group as it names itself.
#[derive(Clone, Debug, Default)]
pub struct MemberRef {
    pub group: String,
    pub member: String,
    pub instance: Option<String>,
    pub generation: i32,
}

/// One who leaves, by member id, by instance id, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaver {
    pub member: String,
    pub instance: Option<String>,
}

/// Partitions by the id of their topic.
pub type Partitions = BTreeSet<(TopicId, PartitionId)>;

/// What there is to be read: id and number of partitions of each topic.
pub type TopicsSeen = BTreeMap<Arc<str>, (TopicId, i32)>;

/// All that a member of the consumer protocol ever says (KIP-848): it joins, lives, or leaves. What is `None` did not
/// change since it was last said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    pub group: String,
    /// Made by the client (KIP-1082); empty, from clients before that: the group makes one.
    pub member: String,
    /// 0: joins; −1: leaves; −2: leaves, but its `group.instance.id` will be back.
    pub epoch: i32,
    pub instance: Option<String>,
    pub rack: Option<String>,
    pub rebalance_timeout: Option<Duration>,
    pub topics: Option<Vec<Arc<str>>>,
    /// RE2 syntax, for whole names. Empty: no longer subscribed to one.
    pub regex: Option<String>,
    pub assignor: Option<String>,
    /// What the member holds now.
    pub owned: Option<Partitions>,
    pub client_id: String,
    pub client_host: String,
    /// Whose rights a regular expression is resolved with; `None`: it stands for all topics.
    pub viewer: Option<Viewer>,
}

/// Who looks at the topics, and which of them are shown.
#[derive(Clone)]
pub struct Viewer {
    name: Arc<str>,
    may_see: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Viewer {
    /// `name`: the same for those who see the same. `may_see` is asked for a topic whenever the group looks at what there is.
    pub fn new(name: &str, may_see: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { name: name.into(), may_see: Arc::new(may_see) }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn may_see(&self, topic: &str) -> bool {
        (self.may_see)(topic)
    }
}

impl PartialEq for Viewer {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Viewer {}

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Viewer").field(&self.name).finish()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeatAnswer {
    pub member: String,
    pub epoch: i32,
    /// `None`: as before.
    pub assignment: Option<Partitions>,
}

/// Offsets to be remembered.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// Generation −1 with an empty member id: a committer outside of any generation.
    pub who: MemberRef,
    pub offsets: Vec<OffsetToCommit>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetToCommit {
    pub topic: Arc<str>,
    pub partition: PartitionId,
    pub offset: Offset,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: Offset,
    /// −1 if the committer did not know it.
    pub leader_epoch: i32,
    /// The committer's own text, kept as it came.
    pub metadata: String,
    pub committed_ms: TimestampMs,
}

/// All offsets of a group.
pub type Offsets = BTreeMap<(Arc<str>, PartitionId), CommittedOffset>;

/// Where a group is in its cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// No members; maybe offsets.
    Empty,
    /// Waiting for members to join.
    PreparingRebalance,
    /// The generation began; waiting for the leader's assignment.
    CompletingRebalance,
    /// Everyone has an assignment.
    Stable,
}

impl GroupState {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// Where a group of the consumer protocol is. (Kafka's `Assigning` does not occur: the target comes with the epoch.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConsumerGroupState {
    /// No members; maybe offsets.
    Empty,
    /// Members are on their way to what they shall have.
    Reconciling,
    /// Everyone has what it shall have.
    Stable,
}

impl ConsumerGroupState {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// The state of a group of either protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnyGroupState {
    Classic(GroupState),
    Consumer(ConsumerGroupState),
}

impl AnyGroupState {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic(state) => state.name(),
            Self::Consumer(state) => state.name(),
        }
    }

    pub fn group_type(self) -> GroupType {
        match self {
            Self::Classic(_) => GroupType::Classic,
            Self::Consumer(_) => GroupType::Consumer,
        }
    }
}

/// Which protocol a group speaks (KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupType {
    /// Members join generations and share the partitions among themselves.
    Classic,
    /// The coordinator shares the partitions; members are led to their share one by one.
    Consumer,
}

impl GroupType {
    /// Kafka's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    pub group: Arc<str>,
    pub state: AnyGroupState,
    /// Empty for a group that only commits.
    pub protocol_type: String,
    pub members: usize,
}

/// A classic group in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub group: Arc<str>,
    pub state: GroupState,
    pub protocol_type: String,
    /// Chosen protocol; empty unless Stable.
    pub protocol: String,
    pub generation: i32,
    pub members: Vec<MemberDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    pub member: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// What it told in the chosen protocol; empty unless Stable.
    pub metadata: Bytes,
    /// What it was assigned; empty unless Stable.
    pub assignment: Bytes,
}

/// A group of the consumer protocol in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupDescription {
    pub group: Arc<str>,
    pub state: ConsumerGroupState,
    pub epoch: i32,
    pub assignment_epoch: i32,
    pub assignor: &'static str,
    pub members: Vec<ConsumerMemberDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    pub member: String,
    pub instance: Option<String>,
    pub rack: Option<String>,
    pub epoch: i32,
    pub client_id: String,
    pub client_host: String,
    pub topics: Vec<Arc<str>>,
    pub regex: Option<String>,
    /// What it may hold now.
    pub assigned: Partitions,
    /// What it shall have in the end.
    pub target: Partitions,
    /// It speaks the classic protocol (KIP-848, "Online migration").
    pub is_classic: bool,
}
