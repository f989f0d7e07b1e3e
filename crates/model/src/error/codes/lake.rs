//! LH04xx: topics as tables: decoding, inference, the lake writer.
codes! {
    TOPIC_HISTORY_GAP = "LH0401" Conflict "records left the log before they were in the table"
        "The topic's log begins after the last record its table holds, so an answer would silently miss what lies between. It happens when records are deleted (`DeleteRecords`, a short retention) while no node with the role `lake` runs. Start one: it notes the loss in `_exceptions`, moves on, and queries work again.";
    STREAM_INVALID = "LH0402" InvalidRequest "a stream cannot be declared like this"
        "The columns, formats or properties of `CREATE STREAM` or `CREATE TABLE` contradict each other; the detail says which. Two columns may not have the same name, and names of pseudo-columns (`_partition`, `_offset`, `_timestamp`, `_key`, `_headers`) are taken.";
    STREAM_EXISTS = "LH0403" AlreadyExists "a stream of this name exists"
        "The name is declared already. Use `CREATE OR REPLACE`, `IF NOT EXISTS`, or drop the stream first; dropping a stream keeps its topic and its records.";
    STREAM_TOPIC_TAKEN = "LH0404" Conflict "the topic is declared differently under another name"
        "A topic has one table and so one set of columns. Another stream declares other columns or formats for it. Declare the same ones, query the existing stream, or drop it first.";
    STREAM_COLUMNS_CONFLICT = "LH0405" Conflict "the declared columns do not fit the rows that are in the table"
        "The topic's table already holds rows with columns of other types, and the log no longer holds all records to build the table again from. Declare types the existing columns can widen to (INT to BIGINT, REAL to DOUBLE), or read the records into a new topic.";
    RECORD_UNDECODABLE = "LH0406" InvalidRecord "a record does not fit its topic's columns"
        "The record's key or value could not be read by the topic's format and columns, or has a field that could get no column; the cause is in `_exceptions` beside the original bytes. The topic goes on without it. Mend the producer or the declaration, and produce the record again.";
    BATCH_UNDECODABLE = "LH0407" InvalidRecord "a record batch cannot be unpacked"
        "The batch was taken as the client sent it, but its compressed part cannot be unpacked or contradicts its header. None of its records can be read; `_exceptions` says which offsets it covers. Mend the producer and send the records again.";
    RECORDS_LOST = "LH0408" Conflict "records left the log before they were in the table"
        "The topic's log began after the last record its table held when the lake writer came to it; `_exceptions` names the offsets. Records are only removed this way by `DeleteRecords`, or by retention while the lake writer was not running.";
}
