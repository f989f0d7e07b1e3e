//! LH02xx: the schema registry and payload formats.
codes! {
    SUBJECT_NOT_FOUND = "LH0201" SubjectNotFound "the registry has no such subject"
        "No schema was ever registered under this subject, or it was deleted. `GET /subjects?deleted=true` lists deleted subjects too. By default serializers use the subject `<topic>-value` or `<topic>-key`; register a schema there or let the serializer do it (`auto.register.schemas=true`).";
    VERSION_NOT_FOUND = "LH0202" VersionNotFound "the subject has no such version"
        "The subject exists, but not this version of it, or the version was deleted. `GET /subjects/{subject}/versions` lists the versions; `latest` and `-1` name the newest.";
    REGISTERED_SCHEMA_NOT_FOUND = "LH0203" SchemaNotFound "the registry has no such schema"
        "No schema with this id exists, or this schema is not registered under this subject. A record that names an unknown id was probably written against another registry: check the producer's `schema.registry.url`.";
    SUBJECT_SOFT_DELETED = "LH0204" SubjectNotFound "the subject was soft-deleted"
        "A soft-deleted subject is hidden but keeps its schemas readable by id. Register a schema to bring it back, or delete it for good with `?permanent=true`.";
    SUBJECT_NOT_SOFT_DELETED = "LH0205" SubjectNotFound "the subject must be soft-deleted first"
        "A permanent delete takes two steps so that nobody loses schemas by accident: delete the subject once without and then once with `?permanent=true`.";
    VERSION_SOFT_DELETED = "LH0206" VersionNotFound "the version was soft-deleted"
        "A soft-deleted version is hidden but stays readable by its id. Delete it for good with `?permanent=true`, or register its schema again.";
    VERSION_NOT_SOFT_DELETED = "LH0207" VersionNotFound "the version must be soft-deleted first"
        "A permanent delete takes two steps so that nobody loses schemas by accident: delete the version once without and then once with `?permanent=true`.";
    SUBJECT_CONFIG_NOT_FOUND = "LH0208" SubjectNotFound "the subject has no compatibility setting of its own"
        "The global setting applies to it. Ask with `?defaultToGlobal=true` to see the setting in force, or give the subject its own with `PUT /config/{subject}`.";
    SUBJECT_MODE_NOT_FOUND = "LH0209" SubjectNotFound "the subject has no mode of its own"
        "The global mode applies to it. Ask with `?defaultToGlobal=true` to see the mode in force, or give the subject its own with `PUT /mode/{subject}`.";
    SCHEMA_INCOMPATIBLE = "LH0210" SchemaIncompatible "the schema is incompatible with an earlier one"
        "The subject's compatibility level forbids this change; the detail names each offending field and rule. Change the schema (a new field needs a default, a type may only widen), or relax the level with `PUT /config/{subject}` if every reader and writer can bear it.";
    SCHEMA_INVALID = "LH0211" SchemaInvalid "this is not a valid schema"
        "The text does not parse as a schema of the type given, or refers to something that is not there. The detail names the place. Without `schemaType` a schema is taken as AVRO; JSON Schema needs `\"schemaType\": \"JSON\"`, a .proto file `\"schemaType\": \"PROTOBUF\"` and a reference for each import that is not Google's or Confluent's own.";
    VERSION_INVALID = "LH0212" SchemaInvalid "this is not a version"
        "A version is a whole number from 1 to 2147483647, or `latest` or `-1` for the newest.";
    COMPATIBILITY_LEVEL_INVALID = "LH0213" SchemaInvalid "this is not a compatibility level"
        "Levels are NONE, BACKWARD, BACKWARD_TRANSITIVE, FORWARD, FORWARD_TRANSITIVE, FULL and FULL_TRANSITIVE.";
    REGISTRY_MODE_INVALID = "LH0214" SchemaInvalid "this is not a mode of the registry"
        "Modes are READWRITE, READONLY and IMPORT; IMPORT is taken only while no schema would be in its way (or with `?force=true`).";
    REGISTRY_OPERATION_REFUSED = "LH0215" SchemaInvalid "the registry's mode forbids this"
        "The subject, or the whole registry, is READONLY (nothing may be written), or IMPORT (schemas need an id and version), or a request gave an id outside IMPORT. `GET /mode/{subject}?defaultToGlobal=true` shows the mode in force.";
    SCHEMA_REFERENCED = "LH0216" SchemaInvalid "other schemas refer to this one"
        "A schema that others refer to cannot be deleted: they would no longer parse. `GET /subjects/{subject}/versions/{version}/referencedby` lists the ids of those schemas; delete them first.";
    SUBJECT_INVALID = "LH0217" SchemaInvalid "this cannot name a subject"
        "A subject is a non-empty text without control characters, and not one of the registry's own names (`__GLOBAL`, `__EMPTY`).";
    REGISTRY_FULL = "LH0218" LimitExceeded "the registry cannot take a schema this large"
        "Schemas are limited to 1 MiB of text and to bounded nesting, so that one request cannot exhaust the node. Split the schema with references.";
    REGISTRY_RECORD_INVALID = "LH0219" Corrupt "a record of `_schemas` cannot be read"
        "The topic `_schemas` holds the registry's state. A record there is not what a registry writes; the detail names its offset. Nothing but the registry should write to that topic.";
    FORMAT_UNSUPPORTED = "LH0220" InvalidRequest "this format or its use is not supported"
        "Formats are JSON, JSON_SR, AVRO, DELIMITED, KAFKA, TEXT, BYTES and NONE. KAFKA, TEXT and BYTES hold one primitive column; DELIMITED holds no lists, maps or structs; AVRO and JSON_SR need a schema in the registry.";
    VALUE_NOT_ENCODABLE = "LH0221" InvalidValue "a value cannot be written in this format"
        "The detail names the column and value. The schema the payload is written by must have a place for each value: a null needs a nullable field, a number must be in range.";
    REGISTRY_TIMEOUT = "LH0222" Storage "the registry could not write its topic"
        "The change was not acknowledged because `_schemas` could not be appended to; it may or may not be there once the log works again. The detail names the cause. Send the same request again: registering the same schema twice gives the same id.";
    REGISTRY_NOT_KEPT = "LH0223" SchemaInvalid "the registry does not keep this"
        "Metadata, rule sets and tags of schemas, and aliases, compatibility groups and the like of subjects, are not kept here. A request that sets one is refused as a whole: a client that relies on a rule, such as encryption of a field, would write without it. Leave the field out, or set it to null.";
}
