//! LH05xx: SQL.
codes! {
    SQL_SYNTAX = "LH0501" Syntax "the SQL does not parse"
        "The statement is not SQL as Lakehead reads it. The detail shows the place with a caret; the mistake is there or just before it. Common causes: a missing comma or parenthesis, a keyword used as a name (write it in double quotes), or a string in double quotes (strings take single quotes).";
    SQL_TABLE_NOT_FOUND = "LH0502" NotFound "no such table, topic, stream or view"
        "Nothing of that name exists in the zone looked in. Names without a zone are looked up in the session's zone (`public` unless set). `SHOW TABLES`, `SHOW TOPICS` and `SHOW STREAMS` list what exists; names with `-` or `.` in them need double quotes: `SELECT * FROM \"orders.v1\"`.";
    SQL_UNRESOLVED = "LH0503" Unresolved "no such column or function"
        "A column, function or qualifier in the statement does not exist where it is used. `DESCRIBE name` lists columns, `SHOW FUNCTIONS` functions. Column names match whatever their case unless quoted; a quoted name must match exactly.";
    SQL_TYPE = "LH0504" Unresolved "types do not fit together"
        "An operator or function was given types it has no meaning for, such as a text plus a number. Say which you mean with `CAST(value AS type)`, or `TRY_CAST` where values that cannot be converted should become NULL.";
    SQL_VALUE = "LH0505" InvalidValue "a value cannot be used that way"
        "A row held a value the statement cannot work with: division by zero, a text that is no number, a date that does not exist, a number too large for its type. The detail names it. Guard it with `NULLIF(divisor, 0)` or `TRY_CAST`, or filter such rows out.";
    SQL_MEMORY = "LH0506" LimitExceeded "the query needs more memory or spill space than it may have"
        "All queries share a memory budget, and sorts, joins and aggregates spill to disk beyond it, up to a limit. This query asked for more than both. Nothing else was harmed. Select fewer columns or rows, aggregate before joining, check for a join without a condition, or raise `query_memory_bytes` in the settings.";
    SQL_TIMEOUT = "LH0507" Timeout "the query ran longer than allowed"
        "The query was stopped at its time limit. Raise it for this session with `SET statement_timeout = '5min'` (0: none), or make the query smaller: filter by time, partition or offset.";
    SQL_UNSUPPORTED = "LH0508" Unsupported "Lakehead does not do this in SQL"
        "The statement was understood, but this form of it is not offered. The message names the part; the hint says what to use instead, where there is something.";
    SQL_TOO_LARGE = "LH0509" InvalidRequest "the statement is too long or nests too deeply"
        "Statements are limited in length and in the depth of their expressions, so that one statement cannot take the node down. Send data through the Kafka door, through parameters, or in several INSERTs; write long OR chains as `IN (…)`.";
    SQL_EXISTS = "LH0510" AlreadyExists "something of that name exists already"
        "Topics, streams, tables and views of one zone share their names. Choose another name, drop the old one first, or say `IF NOT EXISTS` (keeps the old one) or `OR REPLACE` (where it is offered).";
    SQL_CANCELLED = "LH0511" Cancelled "the query was cancelled"
        "The client, or an administrator, took the query back, or the connection it ran on was closed. Statements that write either happened as a whole or not at all.";
    SQL_PATH_FORBIDDEN = "LH0512" Forbidden "SQL may not touch that path"
        "For safety SQL reads and writes files only below `exports/` in the data directory. Use a path relative to it, and put files there that SQL should read.";
    SQL_PARAMETER = "LH0513" InvalidValue "a parameter is missing or wrong"
        "The statement has placeholders (`$1`, `?`) that were not all given values, or a value cannot become the type the placeholder needs. The detail names the placeholder.";
    SQL_CONTINUOUS = "LH0514" Unsupported "continuous queries are not part of this release"
        "`CREATE STREAM … AS SELECT`, `CREATE TABLE … AS SELECT … EMIT CHANGES`, `INSERT INTO stream SELECT … EMIT CHANGES` and `SELECT … EMIT CHANGES` ask for a query kept up to date for ever. This release answers queries over what is there now. Use a view (`CREATE VIEW name AS SELECT …`), which is always fresh, or `CREATE TABLE name AS SELECT …` for a snapshot.";
    SQL_SETTING = "LH0515" InvalidRequest "a session setting is unknown or wrong"
        "The setting does not exist, may not be changed from SQL, or was given a value it cannot have. `SHOW ALL` lists the settings of the session with their values.";
    SQL_ROW_SHAPE = "LH0516" InvalidValue "rows do not fit the columns they are written to"
        "An INSERT gave more or fewer values than columns, named a column twice or one that does not exist, or gave a type that cannot be converted. `DESCRIBE name` shows the columns and their types.";
    SQL_PREPARED = "LH0517" NotFound "no such prepared statement"
        "`EXECUTE` or `DEALLOCATE` names a statement that was not prepared in this session. Prepared statements live as long as their session; prepare it again with `PREPARE name AS …`.";
    SQL_VERSION = "LH0518" NotFound "no such version of the table"
        "Time travel found no snapshot with that id or tag, or none as old as that time: the table was made later, or the snapshot has expired. `SELECT * FROM \"name$snapshots\"` lists what can be read.";
    SQL_INVALID = "LH0519" InvalidRequest "the statement makes no sense as written"
        "The statement parses and its names exist, but it cannot be planned: a column that is neither grouped nor aggregated, a set operation over different numbers of columns, an ambiguous name, an aggregate in WHERE. The message says which.";
}
