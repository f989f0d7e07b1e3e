//! LH03xx: Iceberg tables, files and the catalog.
codes! {
    FILES_URL_UNSUPPORTED = "LH0301" Unsupported "this kind of object store is not supported"
        "`files` must be a local directory for now: `file:///absolute/path`. Other stores (`s3://`, `gs://`, `az://`) are not part of this release. Change the setting `files`.";
    FILE_LOCATION_INVALID = "LH0302" InvalidRequest "a file's location is not inside the store"
        "Locations are URLs below the store's base, such as `file:///data/files/public/t/x.parquet`, without `..`. The detail names the location and the base. A data directory may be moved or copied as a whole: former locations are known from `files/.roots.json`, or found by the files themselves. If this error comes after a move, part of the directory is missing: bring `files` and `catalog.db` back together. Tables registered from elsewhere must be copied into the store first.";
    FILE_NOT_FOUND = "LH0303" NotFound "a file is not there"
        "The file was deleted or never written. If a table refers to it, somebody removed it behind the catalog's back: restore it from a copy, or go back to an earlier snapshot.";
    CATALOG_URL_UNSUPPORTED = "LH0310" Unsupported "this kind of catalog database is not supported"
        "`catalog` must be an SQLite file for now: `sqlite:///absolute/path/catalog.db`. PostgreSQL is not part of this release. Change the setting `catalog`.";
    CATALOG_FAILED = "LH0311" Storage "the catalog database failed"
        "A statement on the catalog's database did not succeed; the detail holds the database's own message. Nothing was changed by it. Check the disk and that no other program holds the file locked, then try again.";
    CATALOG_VERSION = "LH0312" Unsupported "the catalog was written by another version of Lakehead"
        "The catalog's schema is newer than this program knows. Use the Lakehead that wrote it, or a newer one; a downgrade is not possible.";
    NAMESPACE_NOT_FOUND = "LH0320" NotFound "no such zone"
        "A zone (SQL schema, Iceberg namespace) of this name does not exist. `SHOW SCHEMAS` lists those that do; `CREATE SCHEMA name` makes one.";
    NAMESPACE_EXISTS = "LH0321" AlreadyExists "the zone exists already"
        "A zone of this name exists. Use it, or choose another name; `CREATE SCHEMA IF NOT EXISTS` accepts both.";
    NAMESPACE_NOT_EMPTY = "LH0322" Conflict "the zone still holds something"
        "Only an empty zone can be dropped. Drop its tables, streams and views first; the detail names one of them.";
    TABLE_NOT_FOUND = "LH0330" NotFound "no such table"
        "No table of this name is in the catalog. It may have been dropped or renamed meanwhile; `SHOW TABLES` lists those that exist.";
    TABLE_EXISTS = "LH0331" AlreadyExists "the name is taken"
        "A table, stream or view of this name exists in the zone. Drop it, choose another name, or say `IF NOT EXISTS`.";
    NAME_INVALID = "LH0332" InvalidRequest "not a name for a zone, table or view"
        "Names have 1 to 249 characters, without `/`, control characters, and are neither `.` nor `..`.";
    TABLE_CORRUPT = "LH0333" Corrupt "a table's metadata cannot be read"
        "A metadata, manifest or data file of the table is damaged or of a kind this release does not read; the detail says which. Other tables are not affected. Restore the file from a copy, or go back to an earlier snapshot.";
    VERSION_UNKNOWN = "LH0334" NotFound "the table has no such version"
        "The snapshot, tag, branch or moment asked for is not in the table's history: it never existed, or it was expired. The table's `$snapshots` lists what can still be read.";
    TABLE_FORMAT_UNSUPPORTED = "LH0335" Unsupported "a table format this release does not write"
        "Commits are made to tables of Iceberg format v2. Tables of v1 and v3, made by other engines, can be read as far as their files allow, but not changed. Let the engine that made the table write it, or copy its rows into a new table.";
    COMMIT_CONFLICT = "LH0340" Conflict "the table changed while the commit was under way"
        "Another writer committed first, and what it did contradicts this commit: rows to be changed were changed or rewritten meanwhile. Nothing was written. Run the statement again.";
    PROGRESS_CONFLICT = "LH0341" Conflict "another writer moved the table's progress"
        "The snapshot's progress is not what this writer expected, so its rows may be in the table already. Nothing was written. The writer reads the progress again, drops what is covered and goes on; two lake writers on one table are never needed.";
    COMMIT_RETRIES = "LH0342" Conflict "too many writers on one table"
        "The commit lost the race for the table again and again. Nothing was written. Try again, or let fewer writers commit to this table.";
    ROWS_UNWRITABLE = "LH0343" InvalidValue "rows do not fit the table"
        "A batch of rows cannot be brought to the table's columns: a type has no counterpart in Iceberg v2, a value is out of range, or a required column is empty. The detail names the column.";
    SCHEMA_UNSUPPORTED = "LH0350" Unsupported "a column type Iceberg v2 cannot hold"
        "Intervals, durations, unions, decimals of more than 38 digits or with a negative scale have no Iceberg v2 type. Cast the column, for instance to BIGINT, DECIMAL(38,10), TIMESTAMP or VARCHAR.";
    SCHEMA_CHANGE_ILLEGAL = "LH0351" Conflict "a schema change that would alter existing rows"
        "In place, a column may only grow: INTEGER to BIGINT, REAL to DOUBLE, DECIMAL to more digits. Columns are added as nullable. For anything else add a new column and fill it.";
    MAINTENANCE_MISMATCH = "LH0352" Internal "compaction would have changed the rows"
        "Before committing, compaction compares the number of live rows read and written. They differed, so nothing was committed and the table is as it was. Please report the message with the table's metadata file.";
    TABLE_SCHEMA_INVALID = "LH0353" InvalidRequest "columns that do not make a table"
        "A table has at least one column, no two of the same name, and is partitioned by columns it has. The detail says what is wrong; nothing was created.";
    TABLE_UNREADABLE = "LH0360" Unsupported "a table holds what this release cannot read"
        "Data files must be Parquet, and deletes must be position or equality deletes of Iceberg v2: deletion vectors, Avro and ORC files are refused rather than misread. The detail names the file. Let the engine that wrote the table rewrite it, for instance with `rewrite_data_files`.";
}
