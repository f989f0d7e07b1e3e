//! LH00xx: everywhere.
codes! {
    INTERNAL = "LH0001" Internal "Lakehead itself went wrong"
        "This is a defect in Lakehead, not in your request. Nothing acknowledged is lost. Please report the message with the log around it (`lakehead -v up` logs more).";
    STORAGE_FAILED = "LH0002" Storage "the disk or object store failed"
        "A read or write failed below Lakehead. The detail names the path and the system's own message. Check the disk, its mount and its permissions. Acknowledged records are on disk; the request that failed was not acknowledged and may be sent again.";
    DISK_FULL = "LH0003" DiskFull "no room left on the disk"
        "Writes are refused until there is room; reads go on, and nothing acknowledged is lost. Free space or shorten retention (`retention.ms`, `retention.bytes`); writing resumes by itself, no restart is needed.";
    CORRUPT = "LH0004" Corrupt "stored bytes are not what was written"
        "A checksum does not match. The detail names the file and position. The bytes are not served as if they were right. Restore the file from a copy, or delete the records before the next good offset.";
    SHUTTING_DOWN = "LH0005" Unavailable "the node is stopping"
        "The node was asked to stop and takes no new work. Connect again once it is back.";
    SETTINGS_INVALID = "LH0006" InvalidRequest "a setting is wrong"
        "The detail names the setting and what it may be. Settings come from flags, then from `lakehead.toml` in the data directory.";
    ADDRESS_UNAVAILABLE = "LH0007" Unavailable "a door cannot open its address"
        "Another program already listens there, or the address is not of this machine. Choose another with the door's flag (`--kafka`, `--http`, `--pg`); port 0 picks a free one.";
    EXPOSURE_REFUSED = "LH0008" Forbidden "a door would be open to the network without authentication"
        "Doors bind to loopback unless authentication is configured, and authentication is not part of this release. Bind to 127.0.0.1 or [::1] and put a tunnel or proxy that authenticates in front.";
    DATA_DIR_IN_USE = "LH0009" Conflict "another node uses this data directory"
        "Two nodes on one directory would destroy each other's data. Stop the other node, or choose another directory with `--data`.";
    NODE_NOT_FOUND = "LH0010" Unavailable "no node answers where one was looked for"
        "`lakehead up` starts a node. The other commands find it through `run/ports.json` in its data directory (`--data` or `LAKEHEAD_DATA`, else `lakehead-data` here), or at the addresses given with `--http` and `--kafka` (`LAKEHEAD_HTTP`, `LAKEHEAD_KAFKA`). A directory that was named is never given up for another node.";
    INPUT_INVALID = "LH0011" InvalidRequest "the input of a command cannot be taken"
        "The detail names the line or the file and what it should be. `lakehead produce` sends what comes before the line it refuses, and says how many records that were.";
    BROKER_REFUSED = "LH0012" Unavailable "the Kafka door refused a request"
        "The detail has the name of the Kafka protocol's error; the protocol knows no more of it. Look at the node's log for the cause.";
}
