//! LH01xx: topics, partitions, records and groups.
codes! {
    TOPIC_NAME_INVALID = "LH0101" TopicNameInvalid "not a name for a topic"
        "A topic's name has 1 to 249 characters of `a-z A-Z 0-9 . _ -`, is neither `.` nor `..`, and does not differ from an existing topic only by `.` against `_`.";
}
