//! LH01xx: topics, partitions, records and groups.
codes! {
    TOPIC_NAME_INVALID = "LH0101" TopicNameInvalid "not a name for a topic"
        "A topic's name has 1 to 249 characters of `a-z A-Z 0-9 . _ -`, is neither `.` nor `..`, and does not differ from an existing topic only by `.` against `_`.";
    TOPIC_NOT_FOUND = "LH0102" TopicNotFound "no such topic or partition"
        "The topic does not exist, was deleted meanwhile, or has fewer partitions than the request names. `lakehead topics ls` shows what exists; `lakehead topics create` makes a topic.";
    TOPIC_EXISTS = "LH0103" TopicExists "a topic of this name exists already"
        "Topic names are unique. Choose another name, or delete the existing topic first (its records go with it).";
    TOPIC_CONFIG_INVALID = "LH0104" ConfigInvalid "a topic setting is unknown, malformed or not offered"
        "The detail names the setting and what it may be. Lakehead refuses settings of Apache Kafka that it does not obey, rather than storing them and doing something else; such a setting may only be given its default value.";
    PARTITIONS_INVALID = "LH0105" PartitionsInvalid "not a number of partitions the topic can have"
        "A topic has 1 to 10,000 partitions, and their number can only rise: records stay where their key put them. To have fewer, create a new topic and copy.";
    OFFSET_OUT_OF_RANGE = "LH0106" OffsetOutOfRange "the offset is outside the partition"
        "The records asked for were removed by retention or DeleteRecords, or were not written yet. The detail gives the range that exists. Consumers start again where `auto.offset.reset` says.";
    BATCH_CORRUPT = "LH0107" CorruptMessage "a record batch arrived damaged"
        "The batch's CRC-32C or length does not match its bytes, so it was damaged between the producer and here. Nothing was appended; producers send the batch again on their own. If it persists, look for a faulty network device or memory.";
    BATCH_INVALID = "LH0108" InvalidRecord "a record batch breaks the format's rules"
        "The batch is whole but says something that cannot be, such as a count that contradicts its offsets; the detail names it. Nothing was appended. Sending it again does not help: the program that made the batch is wrong.";
    BATCH_TOO_LARGE = "LH0109" MessageTooLarge "a record batch is larger than the topic takes"
        "The topic's `max.message.bytes` is smaller than the batch. Producers split the batch and try again; for a single large record raise `max.message.bytes` of the topic and `max.request.size` of the producer.";
    BATCH_LARGER_THAN_SEGMENT = "LH0110" RecordListTooLarge "a record batch is larger than a segment"
        "The topic's `segment.bytes` is smaller than the batch, so no file could hold it. Raise `segment.bytes` of the topic above its `max.message.bytes`.";
    TIMESTAMP_INVALID = "LH0111" InvalidTimestamp "a record's timestamp is outside the allowed range"
        "With `message.timestamp.type=CreateTime` a record's timestamp may be `message.timestamp.after.max.ms` (default: one hour) ahead of the node's clock and `message.timestamp.before.max.ms` behind it. A timestamp in the far future would keep its segment from ever expiring. Check the producer's clock and unit (milliseconds), or change the topic's setting.";
    COMPRESSION_UNSUPPORTED = "LH0112" UnsupportedCompression "unknown compression"
        "Record batches may be uncompressed or compressed with gzip, snappy, lz4 or zstd. Choose one of these as the producer's `compression.type`.";
    SEQUENCE_OUT_OF_ORDER = "LH0113" OutOfOrderSequence "an idempotent producer left a gap"
        "The batch's sequence number does not follow the last one of this producer, so a batch in between is missing. Nothing was appended. Producers handle this on their own by sending the missing batch first or starting a new epoch; if it reaches your program, close the producer and open a new one.";
    SEQUENCE_DUPLICATE = "LH0114" DuplicateSequence "an idempotent producer repeated an old batch"
        "All records of the batch were appended before, in other batches. Nothing is lost or doubled; producers treat this as success.";
    PRODUCER_EPOCH_OLD = "LH0115" InvalidProducerEpoch "a newer producer has taken over"
        "Another producer with the same id and a higher epoch has written to this partition. This one is out of date and must be closed; open a new producer to go on.";
    LOG_BUSY = "LH0116" Timeout "more is being written than the disk takes"
        "Too many bytes wait to be written, so the append was refused before anything of it was kept. Producers try again on their own. If it lasts, the disk is slower than the load.";
    RECORD_UNREADABLE = "LH0117" CorruptMessage "records in a batch cannot be decoded"
        "The batch's checksum is right, but its records do not decompress or do not follow the format, so the producer wrote it wrong. The detail says where. Other batches of the partition are not affected.";
    TRANSACTION_NOT_OPEN = "LH0118" InvalidTxnState "a batch does not fit its producer's transaction"
        "A producer with an open transaction in a partition writes nothing outside of it there, and a batch of a transaction comes from a producer. Nothing was appended. Abort the transaction and begin again; if it happens every time, the client is wrong.";
    RECORD_WITHOUT_KEY = "LH0119" InvalidRecord "a record of a compacted topic has no key"
        "The topic's `cleanup.policy` is `compact`: of each key the last record is kept, so a record without a key would be lost. Nothing of the batch was appended. Give every record a key, or use a topic whose `cleanup.policy` is `delete`.";
    DELETE_NOT_ALLOWED = "LH0120" PolicyViolation "the topic's policy does not allow to delete records"
        "`DeleteRecords` moves the start of a partition, and a topic whose `cleanup.policy` is `compact` alone keeps the last record of every key, however old. Write a tombstone (a record without a value) for each key that shall go, or set the policy to `compact,delete`.";
    TRANSACTION_ABORTED = "LH0121" InvalidTxnState "the transaction cannot be committed any more"
        "Something of the transaction was refused, or it took longer than its timeout: the detail says which. None of it counts. Abort it, go back to the offsets that are committed, and do the work again in a new transaction.";
    TRANSACTION_FENCED = "LH0122" InvalidProducerEpoch "another writer with this transactional id has taken over"
        "A transactional id belongs to the writer that opened it last; whatever the ones before left open was aborted. This writer can do nothing more: stop it. If both are meant to run, give them different transactional ids.";
    TRANSACTION_UNDECIDED = "LH0123" Unavailable "the transaction could not be ended for the moment"
        "The decision could not be written (disk full, disk failure, or the node stops), so the transaction is as it was. Repeat the same call: it has an effect once, however often it is repeated. What is never ended is aborted when its timeout is over.";
    TRANSACTION_MISUSED = "LH0124" InvalidRequest "a transaction was used in a way that makes no sense"
        "The detail says what is wrong: nothing is begun that could be written to, a transaction is open already, or the transactional id or its timeout is not one the node takes. The program that asks is wrong; repeating it does not help.";
    APPEND_UNCERTAIN = "LH0125" OutcomeUnknown "it is not certain that a failed append is undone"
        "The disk failed while the records were written, and failed again while they were taken out. They are not there now and nobody can read them, but a crash before the next successful write to the partition may bring them back. Idempotent producers send the batch again on their own, and it is kept once either way; others may write it twice. Look at the node's log: the disk needs attention.";
    TOPIC_NAME_TAKEN = "LH0126" TopicNameInvalid "the name is a table's, a view's or another topic's stream's"
        "Every topic is a table of zone `public`, so topics share their names with the tables, views and streams there, whatever their case. The detail says what has the name. Choose another name for the topic, or drop what has it. A topic that has the name of a table anyway, because another program made the table, keeps its records in the log, and the table stays as it is: read the records into a topic of another name and delete this one.";
    GROUP_NOT_FOUND = "LH0150" GroupIdNotFound "there is no such group"
        "The group has no members and no committed offsets, or never had. Groups appear with their first member or commit and go seven days after the last one left. `ListGroups` (for example `kafka-consumer-groups --list`) shows those that exist.";
    GROUP_NOT_EMPTY = "LH0151" GroupNotEmpty "the group still has members"
        "Groups can be deleted, and their offsets moved or removed from outside, only while nobody reads in them. Stop the members, or wait until their session timeouts are over, and try again.";
    GROUP_ID_INVALID = "LH0152" GroupIdInvalid "not an id for a group"
        "The group id is empty. Set `group.id` to any other text.";
    GROUPS_UNAVAILABLE = "LH0153" CoordinatorNotAvailable "the group coordinator cannot write its records"
        "Commits and assignments are acknowledged only once they are on disk, and that write failed. The log says why (disk full, disk failure). Clients try again by themselves; nothing acknowledged is lost.";
    GROUP_REFUSED = "LH0154" Conflict "the group refused a member"
        "The member is not, or no longer, part of the group's current generation: it was too slow, it was replaced, or the group is rebalancing. Clients join again by themselves. If it happens all the time, the member takes longer than `max.poll.interval.ms` between two polls.";
    BROKER_SETTINGS_INVALID = "LH0170" InvalidRequest "a setting of the Kafka door is wrong"
        "The detail names the setting and what it may be. The address advertised to clients must be a host and a port they can reach; limits must be larger than zero.";
    INTERNAL_TOPIC = "LH0171" TopicNameInvalid "the topic is kept by Lakehead itself"
        "Some topics hold Lakehead's own records: `__consumer_offsets`, `__transaction_state`, `__users`, `__acls`, `__quotas`, `__configs`, `_schemas`, `_exceptions` and `_audit`. They can be read (`__users` cannot), but not made, written or deleted by others. The names `__cluster_metadata`, `__share_group_state` and those that start with `__lakehead` are kept for later. Every other name is yours, with underscores in front, too.";
}
