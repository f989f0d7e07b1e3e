"""What programs do with Confluent's serializers and registry client. Prints `STATE name seconds cause` for each."""

import base64
import json
import os
import sys
import time
import urllib.parse
import urllib.request
import uuid

from confluent_kafka import DeserializingConsumer, Producer, SerializingProducer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import (
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    record_subject_name_strategy,
    topic_record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext, StringDeserializer, StringSerializer

KAFKA = os.environ["LAKEHEAD_KAFKA"]
HTTP = "http://" + os.environ["LAKEHEAD_HTTP"].removeprefix("http://")
CLIENT = SchemaRegistryClient({"url": HTTP})

ADDRESS = {"type": "record", "name": "Address", "namespace": "acme", "fields": [{"name": "street", "type": "string"}]}


def avro(*fields, name="User"):
    return json.dumps({"type": "record", "name": name, "namespace": "acme", "fields": list(fields)})


NAME = {"name": "name", "type": "string"}
AGE = {"name": "age", "type": ["null", "int"], "default": None}
USER = avro(NAME, AGE)
JSON_USER = json.dumps(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "User",
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name"],
        "additionalProperties": False,
    }
)


def fresh(stem):
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def topic():
    name = fresh("registry")
    admin = AdminClient({"bootstrap.servers": KAFKA})
    for made in admin.create_topics([NewTopic(name, 1)]).values():
        made.result(30)
    return name


def through(to, serializer, deserializer, *values):
    """The values as they come back through the topic."""
    producer = SerializingProducer(
        {"bootstrap.servers": KAFKA, "key.serializer": StringSerializer(), "value.serializer": serializer}
    )
    for value in values:
        producer.produce(to, key="k", value=value)
    assert producer.flush(30) == 0, "records were not written"
    consumer = DeserializingConsumer(
        {
            "bootstrap.servers": KAFKA,
            "group.id": fresh("group"),
            "auto.offset.reset": "earliest",
            "key.deserializer": StringDeserializer(),
            "value.deserializer": deserializer,
        }
    )
    consumer.subscribe([to])
    came, deadline = [], time.monotonic() + 30
    while len(came) < len(values) and time.monotonic() < deadline:
        if (message := consumer.poll(0.5)) is not None:
            assert message.error() is None, message.error()
            came.append(message.value())
    consumer.close()
    return came


def refused(call, *codes):
    """The registry refuses the call with one of the codes; gives what it said."""
    try:
        call()
    except SchemaRegistryError as error:
        assert error.error_code in codes, f"error code {error.error_code}, not {codes}: {error}"
        return str(error)
    raise AssertionError(f"was taken, {codes} expected")


def ask(method, path, body=None):
    """What the client has no method for."""
    data = json.dumps(body).encode() if body is not None else None
    headers = {"content-type": "application/vnd.schemaregistry.v1+json"}
    with urllib.request.urlopen(
        urllib.request.Request(HTTP + path, data, headers, method=method), timeout=30
    ) as answer:
        return json.load(answer)


# ── Avro ──


def avro_round_trip():
    to, value = topic(), {"name": "Ada", "age": 36}
    came = through(to, AvroSerializer(CLIENT, USER), AvroDeserializer(CLIENT), value, {"name": "Bob", "age": None})
    assert came == [value, {"name": "Bob", "age": None}], came
    assert CLIENT.get_latest_version(f"{to}-value").version == 1


def avro_of_a_key():
    to = topic()
    producer = SerializingProducer({"bootstrap.servers": KAFKA, "key.serializer": AvroSerializer(CLIENT, '"string"')})
    producer.produce(to, key="k", value=b"v")
    assert producer.flush(30) == 0
    assert json.loads(CLIENT.get_latest_version(f"{to}-key").schema.schema_str) in ("string", {"type": "string"})


def avro_readers_schema():
    to = topic()
    reader = avro(NAME, {"name": "city", "type": "string", "default": "?"})
    came = through(to, AvroSerializer(CLIENT, USER), AvroDeserializer(CLIENT, reader), {"name": "Ada", "age": 1})
    assert came == [{"name": "Ada", "city": "?"}], came


def avro_evolution():
    to = topic()
    through(to, AvroSerializer(CLIENT, avro(NAME)), AvroDeserializer(CLIENT), {"name": "Ada"})
    came = through(to, AvroSerializer(CLIENT, USER), AvroDeserializer(CLIENT), {"name": "Bob", "age": 3})
    assert came[0] == {"name": "Ada"}, came
    assert CLIENT.get_versions(f"{to}-value") == [1, 2]
    breaks = AvroSerializer(CLIENT, avro(NAME, {"name": "must", "type": "int"}))
    producer = SerializingProducer({"bootstrap.servers": KAFKA, "value.serializer": breaks})
    try:
        producer.produce(to, value={"name": "x", "must": 1})
    except Exception as error:
        assert "409" in str(error) or "incompatible" in str(error), error
    else:
        raise AssertionError("an incompatible schema was taken")


def avro_without_registering():
    to = topic()
    strict = AvroSerializer(CLIENT, USER, conf={"auto.register.schemas": False})
    producer = SerializingProducer({"bootstrap.servers": KAFKA, "value.serializer": strict})
    try:
        producer.produce(to, value={"name": "x", "age": 1})
    except Exception as error:
        assert "40401" in str(error), error
    else:
        raise AssertionError("an unknown subject was taken")
    CLIENT.register_schema(f"{to}-value", Schema(USER, "AVRO"))
    latest = AvroSerializer(CLIENT, conf={"auto.register.schemas": False, "use.latest.version": True})
    assert through(to, latest, AvroDeserializer(CLIENT), {"name": "Ada", "age": 1}) == [{"name": "Ada", "age": 1}]


def avro_references():
    to, address = topic(), fresh("address")
    CLIENT.register_schema(address, Schema(json.dumps(ADDRESS), "AVRO"))
    schema = Schema(
        avro(NAME, {"name": "home", "type": "acme.Address"}), "AVRO", [SchemaReference("acme.Address", address, 1)]
    )
    value = {"name": "Ada", "home": {"street": "High"}}
    assert through(to, AvroSerializer(CLIENT, schema), AvroDeserializer(CLIENT), value) == [value]
    refused(lambda: CLIENT.delete_subject(address, permanent=False), 42206)


def avro_union_of_references():
    to, first, second = topic(), fresh("first"), fresh("second")
    CLIENT.register_schema(first, Schema(avro(NAME, name="Person"), "AVRO"))
    CLIENT.register_schema(second, Schema(avro({"name": "code", "type": "long"}, name="Firm"), "AVRO"))
    references = [SchemaReference("acme.Person", first, 1), SchemaReference("acme.Firm", second, 1)]
    CLIENT.register_schema(f"{to}-value", Schema(json.dumps(["acme.Person", "acme.Firm"]), "AVRO", references))
    latest = AvroSerializer(CLIENT, conf={"auto.register.schemas": False, "use.latest.version": True})
    values = [("acme.Person", {"name": "Ada"}), ("acme.Firm", {"code": 7})]
    assert through(to, latest, AvroDeserializer(CLIENT), *values) == [{"name": "Ada"}, {"code": 7}]


def avro_logical_types():
    import datetime
    import decimal

    schema = avro(
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    )
    at = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)
    value = {"day": datetime.date(2024, 5, 6), "at": at, "price": decimal.Decimal("12.34")}
    assert through(topic(), AvroSerializer(CLIENT, schema), AvroDeserializer(CLIENT), value) == [value]


def subject_name_strategies():
    to = topic()
    by_record = AvroSerializer(CLIENT, USER, conf={"subject.name.strategy": record_subject_name_strategy})
    through(to, by_record, AvroDeserializer(CLIENT), {"name": "Ada", "age": 1})
    both = AvroSerializer(CLIENT, USER, conf={"subject.name.strategy": topic_record_subject_name_strategy})
    through(to, both, AvroDeserializer(CLIENT), {"name": "Ada", "age": 1})
    subjects = CLIENT.get_subjects()
    assert "acme.User" in subjects and f"{to}-acme.User" in subjects, subjects


# ── JSON Schema ──


def json_round_trip():
    to, value = topic(), {"name": "Ada", "age": 36}
    assert through(to, JSONSerializer(JSON_USER, CLIENT), JSONDeserializer(JSON_USER), value) == [value]
    assert CLIENT.get_latest_version(f"{to}-value").schema.schema_type == "JSON"


def json_deserializer_asks_the_registry():
    to, value = topic(), {"name": "Ada"}
    reader = JSONDeserializer(None, schema_registry_client=CLIENT)
    assert through(to, JSONSerializer(JSON_USER, CLIENT), reader, value) == [value]


def json_evolution():
    subject = fresh("json")
    CLIENT.register_schema(subject, Schema(JSON_USER, "JSON"))
    closed = json.loads(JSON_USER)
    more = {**closed, "properties": {**closed["properties"], "city": {"type": "string"}}}
    assert CLIENT.test_compatibility(subject, Schema(json.dumps(more), "JSON"))
    narrower = {**closed, "properties": {**closed["properties"], "age": {"type": "integer", "minimum": 18}}}
    refused(lambda: CLIENT.register_schema(subject, Schema(json.dumps(narrower), "JSON")), 409)


def json_references():
    to, part = topic(), fresh("part")
    address = {"type": "object", "properties": {"street": {"type": "string"}}, "required": ["street"]}
    CLIENT.register_schema(part, Schema(json.dumps(address), "JSON"))
    whole = {"type": "object", "title": "User", "properties": {"home": {"$ref": "address.json"}}}
    schema = Schema(json.dumps(whole), "JSON", [SchemaReference("address.json", part, 1)])
    value = {"home": {"street": "High"}}
    reader = JSONDeserializer(schema, schema_registry_client=CLIENT)
    assert through(to, JSONSerializer(schema, CLIENT), reader, value) == [value]


# ── Protobuf ──


FIELD_TYPES = {"string": 9, "int32": 5, "bytes": 12, "message": 11}


def field(name, number, kind, repeated=False):
    """A field as descriptors have it; a kind that begins with a dot is a message."""
    declared = {"name": name, "number": number, "label": 3 if repeated else 1}
    if kind.startswith("."):
        return {**declared, "type": FIELD_TYPES["message"], "type_name": kind}
    return {**declared, "type": FIELD_TYPES[kind]}


def compiled(*files):
    """The messages of files (name, imports, message types), by full name: what protoc would have generated."""
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    classes = {}
    for name, imports, messages in files:
        declared = {"name": name, "package": "acme", "syntax": "proto3", "dependency": list(imports)}
        file = json_format.ParseDict({**declared, "message_type": messages}, descriptor_pb2.FileDescriptorProto())
        pool.AddSerializedFile(file.SerializeToString())
        descriptors = list(pool.FindFileByName(name).message_types_by_name.values())
        while descriptors:
            found = descriptors.pop()
            classes[found.full_name] = message_factory.GetMessageClass(found)
            descriptors.extend(found.nested_types)
    return classes


def protobuf(message, **conf):
    """A serializer and a deserializer of one message."""
    plain = {"use.deprecated.format": False}
    return ProtobufSerializer(message, CLIENT, {**plain, **conf}), ProtobufDeserializer(message, plain, CLIENT)


def protobuf_round_trip():
    user = {
        "name": "User",
        "field": [field("name", 1, "string"), field("raw", 2, "bytes"), field("at", 3, ".google.protobuf.Timestamp")],
    }
    message = compiled((fresh("user") + ".proto", ["google/protobuf/timestamp.proto"], [user]))["acme.User"]
    value = message(name="Ada", raw=b"\0\xff", at={"seconds": 5})
    assert through(topic(), *protobuf(message), value, message()) == [value, message()]


def protobuf_references():
    stem = fresh("proto").replace("-", "_")
    base, middle, top = f"{stem}/base.proto", f"{stem}/middle.proto", f"{stem}/top.proto"
    classes = compiled(
        (base, [], [{"name": "Street", "field": [field("name", 1, "string")]}]),
        (middle, [base], [{"name": "Address", "field": [field("street", 1, ".acme.Street"), field("number", 2, "int32")]}]),
        (
            top,
            [middle, "google/protobuf/timestamp.proto"],
            [
                {
                    "name": "User",
                    "field": [
                        field("name", 1, "string"),
                        field("homes", 2, ".acme.Address", repeated=True),
                        field("since", 3, ".google.protobuf.Timestamp"),
                    ],
                }
            ],
        ),
    )
    to = topic()
    user = classes["acme.User"](name="Ada")
    user.homes.add(number=7).street.name = "High"
    user.since.seconds = 5
    assert through(to, *protobuf(classes["acme.User"]), user) == [user]
    latest = CLIENT.get_latest_version(f"{to}-value")
    assert latest.schema.schema_type == "PROTOBUF", latest.schema.schema_type
    assert [(r.name, r.subject) for r in latest.schema.references] == [(middle, middle)], latest.schema.references
    assert [r.name for r in CLIENT.get_latest_version(middle).schema.references] == [base]
    quoted = urllib.parse.quote(middle, safe="")
    assert ask("GET", f"/subjects/{quoted}/versions/1/referencedby") == [latest.schema_id]
    refused(lambda: CLIENT.delete_version(middle, 1), 42206)
    refused(lambda: CLIENT.delete_subject(base), 42206)


def protobuf_nested_message():
    name = fresh("nested") + ".proto"
    entry = {
        "name": "CountsEntry",
        "field": [field("key", 1, "string"), field("value", 2, "int32")],
        "options": {"map_entry": True},
    }
    inner = {"name": "Inner", "field": [field("x", 1, "int32")]}
    outer = {
        "name": "Outer",
        "field": [field("counts", 1, ".acme.Outer.CountsEntry", repeated=True)],
        "nested_type": [entry, inner],
    }
    classes = compiled((name, [], [{"name": "First"}, outer]))
    for message in (classes["acme.Outer"](counts={"a": 1}), classes["acme.Outer.Inner"](x=3)):
        assert through(topic(), *protobuf(type(message)), message) == [message]


def protobuf_evolution():
    to = topic()

    def message(*fields):
        return compiled((fresh("user") + ".proto", [], [{"name": "User", "field": list(fields)}]))["acme.User"]

    first, second = message(field("name", 1, "string")), message(field("name", 1, "string"), field("age", 2, "int32"))
    through(to, *protobuf(first), first(name="Ada"))
    came = through(to, *protobuf(second), second(name="Bob", age=3))
    assert [m.name for m in came] in (["Ada"], ["Bob"]), came
    assert CLIENT.get_versions(f"{to}-value") == [1, 2]
    third = message(field("name", 1, "int32"))
    try:
        protobuf(third)[0](third(name=1), SerializationContext(to, MessageField.VALUE))
    except SchemaRegistryError as error:
        assert error.error_code == 409 and "FIELD_SCALAR_KIND_CHANGED" in str(error) and "name" in str(error), error
    else:
        raise AssertionError("an incompatible schema was taken")


def protobuf_latest_version():
    to, name = topic(), fresh("user") + ".proto"
    user = compiled((name, [], [{"name": "User", "field": [field("name", 1, "string")]}]))["acme.User"]
    # Not by way of the client: it would answer from its cache, where the text stands for the serialized form too.
    text = 'syntax = "proto3"; package acme; message User { string name = 1; }'
    ask("POST", f"/subjects/{to}-value/versions", {"schema": text, "schemaType": "PROTOBUF"})
    conf = {"auto.register.schemas": False, "use.latest.version": True}
    assert through(to, *protobuf(user, **conf), user(name="Ada")) == [user(name="Ada")]


def protobuf_text_and_serialized():
    from google.protobuf import descriptor_pb2

    subject = fresh("forms")
    text = 'syntax = "proto3"; package acme; message User { string name = 1; map<string, int32> counts = 2; }'
    first = CLIENT.register_schema(subject, Schema(text, "PROTOBUF"))
    for path in (f"/schemas/ids/{first}", f"/subjects/{subject}/versions/1"):
        assert "message User" in ask("GET", path)["schema"]
        file = descriptor_pb2.FileDescriptorProto()
        file.ParseFromString(base64.b64decode(ask("GET", path + "?format=serialized")["schema"]))
        assert [m.name for m in file.message_type] == ["User"] and file.package == "acme", file
    assert "PROTOBUF" in ask("GET", "/schemas/types")
    spaced = 'syntax="proto3";  // spaced\npackage acme;\nmessage User {\n string name=1; map<string,int32> counts=2;\n}'
    assert CLIENT.register_schema(subject, Schema(spaced, "PROTOBUF")) == first, "one id a schema"
    turned = 'syntax = "proto3"; package acme; message User { map<string, int32> counts = 2; string name = 1; }'
    assert CLIENT.register_schema(subject, Schema(turned, "PROTOBUF"), normalize_schemas=True) == first, "normalized"
    refused(lambda: CLIENT.register_schema(subject, Schema("message {", "PROTOBUF")), 42201)
    missing = Schema('syntax = "proto3"; import "nowhere.proto";', "PROTOBUF")
    refused(lambda: CLIENT.register_schema(subject, missing), 42201)


def protobuf_registered():
    schema = 'syntax = "proto3"; package acme; message User { string name = 1; }'
    subject = fresh("proto")
    first = CLIENT.register_schema(subject, Schema(schema, "PROTOBUF"))
    assert "message User" in CLIENT.get_schema(first).schema_str


# ── the registry itself ──


def subjects_and_versions():
    subject, name = fresh("subject"), fresh("Record").replace("-", "")
    first = CLIENT.register_schema(subject, Schema(avro(NAME, name=name), "AVRO"))
    schema = Schema(avro(NAME, AGE, name=name), "AVRO")
    second = CLIENT.register_schema(subject, schema)
    assert first < second and CLIENT.register_schema(fresh("other"), schema) == second, "one id a schema"
    assert CLIENT.lookup_schema(subject, schema).version == 2
    assert ask("GET", f"/subjects/{subject}/versions/latest/schema")["name"] == name
    versions = ask("GET", f"/schemas/ids/{second}/versions")
    assert {"subject": subject, "version": 2} in versions, versions
    assert subject in ask("GET", f"/schemas/ids/{second}/subjects")
    assert "AVRO" in ask("GET", "/schemas/types") and "JSON" in ask("GET", "/schemas/types")


def deletes():
    subject = fresh("deleted")
    schema_id = CLIENT.register_schema(subject, Schema(avro(NAME), "AVRO"))
    CLIENT.register_schema(subject, Schema(USER, "AVRO"))
    assert CLIENT.delete_version(subject, 1) == 1
    assert CLIENT.get_versions(subject) == [2]
    assert ask("GET", f"/subjects/{subject}/versions?deleted=true") == [1, 2]
    refused(lambda: CLIENT.delete_version(subject, 1), 40406)
    assert CLIENT.delete_subject(subject) == [2]
    assert subject not in CLIENT.get_subjects() and subject in ask("GET", "/subjects?deleted=true")
    assert json.loads(ask("GET", f"/schemas/ids/{schema_id}")["schema"])["name"] == "User", "ids stay readable"
    ask("POST", f"/subjects/{subject}/versions", {"schema": USER})  # the client would answer from its cache
    assert CLIENT.get_versions(subject) == [3], "a deleted subject goes on counting"
    CLIENT.delete_subject(subject)
    ask("DELETE", f"/subjects/{subject}?permanent=true")
    assert subject not in ask("GET", "/subjects?deleted=true")


def compatibility_levels():
    subject = fresh("level")
    assert CLIENT.get_compatibility() == "BACKWARD"
    refused(lambda: CLIENT.get_compatibility(subject), 40408)
    for level in ("BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", "NONE"):
        CLIENT.set_compatibility(subject, level)
        assert CLIENT.get_compatibility(subject) == level
    assert ask("GET", f"/config/{fresh('unset')}?defaultToGlobal=true")["compatibilityLevel"] == "BACKWARD"
    assert ask("DELETE", f"/config/{subject}")["compatibilityLevel"] == "NONE"
    CLIENT.set_compatibility(subject, "FORWARD")
    CLIENT.register_schema(subject, Schema(USER, "AVRO"))
    assert not CLIENT.test_compatibility(subject, Schema(avro(AGE), "AVRO")), "a forward reader needs the name"
    said = ask("POST", f"/compatibility/subjects/{subject}/versions/latest?verbose=true", {"schema": avro(AGE)})
    assert said["is_compatible"] is False and said["messages"], said


def modes():
    assert ask("GET", "/mode")["mode"] == "READWRITE"
    subject = fresh("mode")
    assert ask("PUT", f"/mode/{subject}", {"mode": "READONLY"})["mode"] == "READONLY"
    refused(lambda: CLIENT.register_schema(subject, Schema(USER, "AVRO")), 42205)
    ask("PUT", f"/mode/{subject}", {"mode": "READWRITE"})
    CLIENT.register_schema(subject, Schema(USER, "AVRO"))


def normalized():
    subject = fresh("normal")
    spaced = json.dumps(json.loads(USER), indent=4)
    first = CLIENT.register_schema(subject, Schema(USER, "AVRO"), normalize_schemas=True)
    assert CLIENT.register_schema(subject, Schema(spaced, "AVRO"), normalize_schemas=True) == first


def avro_names_as_in_java():
    """Debezium's namespaces have the hyphens of its topics; Avro for Java takes letters of any script in names."""
    subject = fresh("names")
    for text in (
        '{"type": "record", "name": "Envelope", "namespace": "shop-1.public.people", "fields": []}',
        avro({"name": "größe", "type": "int"}),
    ):
        registered = CLIENT.register_schema(subject + str(len(text)), Schema(text, "AVRO"))
        assert json.loads(CLIENT.get_schema(registered).schema_str) == json.loads(text)


def not_a_schema():
    subject = fresh("bad")
    refused(lambda: CLIENT.register_schema(subject, Schema("{", "AVRO")), 42201)
    refused(lambda: CLIENT.register_schema(subject, Schema('{"type": 5}', "JSON")), 42201)
    dangling = Schema(avro({"name": "x", "type": "acme.Nobody"}), "AVRO", [SchemaReference("acme.Nobody", "nobody", 1)])
    refused(lambda: CLIENT.register_schema(subject, dangling), 42201, 40401)
    refused(lambda: CLIENT.get_version(subject, 1), 40401)


def records_without_a_schema():
    to = topic()
    producer = Producer({"bootstrap.servers": KAFKA})
    producer.produce(to, b"no magic byte")
    assert producer.flush(30) == 0
    try:
        through(to, AvroSerializer(CLIENT, USER), AvroDeserializer(CLIENT), {"name": "x", "age": 1})
    except Exception as error:
        assert "magic" in str(error).lower(), error
    else:
        raise AssertionError("was read")


def main():
    names = [
        name for name, value in globals().items() if callable(value) and getattr(value, "__module__", "") == "__main__"
    ]
    helpers = {"avro", "fresh", "topic", "through", "refused", "ask", "field", "compiled", "protobuf", "main"}
    for name in names:
        shown = name.replace("_", "-")
        if name in helpers or (sys.argv[1:] and not any(shown.startswith(o) for o in sys.argv[1:])):
            continue
        began = time.monotonic()
        try:
            globals()[name]()
            state, cause = "PASSED", ""
        except Exception as error:  # a scenario may fail in any way; the board says which
            state, cause = "FAILED", f"{type(error).__name__}: {error}"
        print(state, shown, f"{time.monotonic() - began:.1f}", " ".join(cause.split())[:300], flush=True)


if __name__ == "__main__":
    main()
