//! What an error is to each protocol.

/// The closed list of what can go wrong, seen from outside. Each code in [`super::codes`] has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself makes no sense.
    InvalidRequest,
    /// SQL that does not parse.
    Syntax,
    /// A value is not what its type allows.
    InvalidValue,
    /// The thing named does not exist.
    NotFound,
    /// A column, function or type named in SQL does not exist or does not fit.
    Unresolved,
    /// The thing to be made exists already.
    AlreadyExists,
    /// The state changed in between, or forbids it now.
    Conflict,
    /// Lakehead does not do this.
    Unsupported,
    /// Who asks may not.
    Forbidden,
    /// A limit on memory, size or time was reached.
    LimitExceeded,
    /// The one who asked took it back.
    Cancelled,
    /// It took longer than allowed.
    Timeout,
    /// Not ready or going down; the same request will work later.
    Unavailable,
    /// No room on the disk.
    DiskFull,
    /// The disk or object store failed.
    Storage,
    /// It failed on its way, and what it asked for may have happened.
    OutcomeUnknown,
    /// Stored bytes are not what was written.
    Corrupt,
    /// Lakehead is wrong.
    Internal,

    // The Kafka protocol tells these apart.
    TopicNotFound,
    TopicIdUnknown,
    TopicExists,
    TopicNameInvalid,
    PartitionsInvalid,
    ReplicationFactorInvalid,
    ReplicaAssignmentInvalid,
    ConfigInvalid,
    OffsetOutOfRange,
    CorruptMessage,
    InvalidRecord,
    MessageTooLarge,
    RecordListTooLarge,
    InvalidTimestamp,
    UnsupportedCompression,
    RequiredAcksInvalid,
    NotEnoughReplicas,
    OutOfOrderSequence,
    DuplicateSequence,
    InvalidProducerEpoch,
    InvalidTxnState,
    FencedLeaderEpoch,
    UnknownLeaderEpoch,
    PolicyViolation,
    GroupIdInvalid,
    GroupIdNotFound,
    GroupNotEmpty,
    UnknownMember,
    IllegalGeneration,
    RebalanceInProgress,
    InconsistentGroupProtocol,
    InvalidSessionTimeout,
    MemberIdRequired,
    FencedInstanceId,
    GroupMaxSizeReached,
    OffsetMetadataTooLarge,
    CoordinatorNotAvailable,

    // Confluent's registry tells these apart (its `error_code` is HTTP status × 100 + n).
    SubjectNotFound,
    VersionNotFound,
    SchemaNotFound,
    SchemaInvalid,
    SchemaIncompatible,
}

impl ErrorKind {
    /// Status of an HTTP answer.
    pub fn http_status(self) -> u16 {
        use ErrorKind::*;
        match self {
            InvalidRequest
            | Syntax
            | InvalidValue
            | Unresolved
            | TopicNameInvalid
            | PartitionsInvalid
            | ReplicationFactorInvalid
            | ReplicaAssignmentInvalid
            | ConfigInvalid
            | CorruptMessage
            | InvalidRecord
            | InvalidTimestamp
            | UnsupportedCompression
            | RequiredAcksInvalid
            | GroupIdInvalid
            | InconsistentGroupProtocol
            | InvalidSessionTimeout
            | MemberIdRequired
            | OffsetMetadataTooLarge => 400,
            Forbidden | PolicyViolation => 403,
            NotFound | TopicNotFound | TopicIdUnknown | GroupIdNotFound | SubjectNotFound | VersionNotFound
            | SchemaNotFound => 404,
            Timeout => 408,
            AlreadyExists | Conflict | TopicExists | GroupNotEmpty | SchemaIncompatible | OutOfOrderSequence
            | DuplicateSequence | InvalidProducerEpoch | InvalidTxnState | FencedLeaderEpoch | UnknownLeaderEpoch
            | UnknownMember | IllegalGeneration | RebalanceInProgress | FencedInstanceId => 409,
            MessageTooLarge | RecordListTooLarge => 413,
            OffsetOutOfRange => 416,
            SchemaInvalid => 422,
            LimitExceeded | GroupMaxSizeReached => 429,
            Cancelled => 499,
            Internal | Corrupt => 500,
            Unsupported => 501,
            Unavailable | Storage | OutcomeUnknown | NotEnoughReplicas | CoordinatorNotAvailable => 503,
            DiskFull => 507,
        }
    }

    /// Error code of the Kafka protocol (`org.apache.kafka.common.protocol.Errors`).
    pub fn kafka_code(self) -> i16 {
        use ErrorKind::*;
        match self {
            OffsetOutOfRange => 1,
            CorruptMessage => 2,
            TopicNotFound | NotFound => 3,
            Timeout => 7,
            MessageTooLarge => 10,
            OffsetMetadataTooLarge => 12,
            CoordinatorNotAvailable | Unavailable => 15,
            TopicNameInvalid => 17,
            RecordListTooLarge => 18,
            NotEnoughReplicas => 19,
            // "… after append": retriable, and the one by which clients tell that a record may be there.
            OutcomeUnknown => 20,
            RequiredAcksInvalid => 21,
            IllegalGeneration => 22,
            InconsistentGroupProtocol => 23,
            GroupIdInvalid => 24,
            UnknownMember => 25,
            InvalidSessionTimeout => 26,
            RebalanceInProgress => 27,
            Forbidden => 29,
            InvalidTimestamp => 32,
            Unsupported => 35,
            TopicExists | AlreadyExists => 36,
            PartitionsInvalid => 37,
            ReplicationFactorInvalid => 38,
            ReplicaAssignmentInvalid => 39,
            ConfigInvalid => 40,
            InvalidRequest | Syntax | InvalidValue | Unresolved | Conflict | Cancelled => 42,
            PolicyViolation => 44,
            OutOfOrderSequence => 45,
            DuplicateSequence => 46,
            InvalidProducerEpoch => 47,
            InvalidTxnState => 48,
            DiskFull | Storage | Corrupt => 56,
            GroupNotEmpty => 68,
            GroupIdNotFound => 69,
            FencedLeaderEpoch => 74,
            UnknownLeaderEpoch => 75,
            UnsupportedCompression => 76,
            MemberIdRequired => 79,
            GroupMaxSizeReached => 81,
            FencedInstanceId => 82,
            InvalidRecord | SchemaInvalid | SchemaIncompatible => 87,
            LimitExceeded => 89,
            TopicIdUnknown => 100,
            SubjectNotFound | VersionNotFound | SchemaNotFound | Internal => -1,
        }
    }

    /// SQLSTATE of a PostgreSQL answer (PostgreSQL 17 documentation, appendix A).
    pub fn sqlstate(self) -> &'static str {
        use ErrorKind::*;
        match self {
            Syntax => "42601",
            Unresolved => "42703",
            InvalidValue | InvalidRecord | CorruptMessage | InvalidTimestamp => "22023",
            NotFound | TopicNotFound | TopicIdUnknown | SubjectNotFound | VersionNotFound | SchemaNotFound => "42P01",
            AlreadyExists | TopicExists => "42P07",
            Unsupported => "0A000",
            Forbidden | PolicyViolation => "42501",
            Conflict => "40001",
            LimitExceeded => "53200",
            DiskFull => "53100",
            Storage => "58030",
            Corrupt => "XX001",
            OutcomeUnknown => "08007",
            Cancelled | Timeout => "57014",
            Unavailable | CoordinatorNotAvailable => "57P03",
            Internal => "XX000",
            _ => "22023",
        }
    }

    /// Whether the same request, sent again later, may succeed.
    pub fn is_retryable(self) -> bool {
        use ErrorKind::*;
        matches!(
            self,
            Conflict
                | Timeout
                | Unavailable
                | DiskFull
                | Storage
                | OutcomeUnknown
                | LimitExceeded
                | RebalanceInProgress
                | CoordinatorNotAvailable
                | NotEnoughReplicas
        )
    }
}
