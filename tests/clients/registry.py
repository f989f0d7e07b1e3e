"""confluent-kafka's SchemaRegistryClient and serializers against LAKEHEAD_HTTP (and LAKEHEAD_KAFKA for records).

pip install "confluent-kafka[avro,json,schemaregistry]"
"""

import json
import os
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from common import ADDRESS, check, name, ok, until

HTTP = "http://" + os.environ.get("LAKEHEAD_HTTP", "127.0.0.1:8080").removeprefix("http://")


def avro(*fields):
    return json.dumps({"type": "record", "name": "Order", "namespace": "acme", "fields": list(fields)})


ID = {"name": "id", "type": "long"}
CITY = {"name": "city", "type": ["null", "string"], "default": None}
PRICE = {"name": "price", "type": "double"}


def refused(code, what, call):
    try:
        call()
    except SchemaRegistryError as error:
        check(error.error_code == code, f"{what}: error_code {error.error_code}, not {code}: {error}")
        return str(error)
    check(False, f"{what}: was not refused")


def subjects(client):
    subject = name("orders") + "-value"
    first = client.register_schema(subject, Schema(avro(ID), "AVRO"))
    check(client.register_schema(subject, Schema(avro(ID), "AVRO")) == first, "registering twice gives the same id")
    second = client.register_schema(subject, Schema(avro(ID, CITY), "AVRO"))
    check(second > first, "ids rise")
    check(client.get_versions(subject) == [1, 2], "versions")
    check(client.get_latest_version(subject).schema_id == second, "latest")
    check(client.get_version(subject, 1).schema_id == first, "version 1")
    check(json.loads(client.get_schema(first).schema_str) == json.loads(avro(ID)), "schema by id")
    check(client.lookup_schema(subject, Schema(avro(ID), "AVRO")).version == 1, "lookup")
    check(subject in client.get_subjects(), "subjects")

    why = refused(409, "a required field", lambda: client.register_schema(subject, Schema(avro(ID, PRICE), "AVRO")))
    check("READER_FIELD_MISSING_DEFAULT_VALUE" in why and "price" in why, f"the message names the field: {why}")
    check(not client.test_compatibility(subject, Schema(avro(ID, PRICE), "AVRO")), "compatibility test")
    check(client.test_compatibility(subject, Schema(avro(ID), "AVRO")), "compatibility test")
    client.set_compatibility(subject_name=subject, level="NONE")
    check(client.get_compatibility(subject) == "NONE", "level of the subject")
    client.register_schema(subject, Schema(avro(ID, PRICE), "AVRO"))

    refused(40401, "unknown subject", lambda: client.get_versions("nobody"))
    refused(40402, "unknown version", lambda: client.get_version(subject, 99))
    refused(40403, "unknown id", lambda: client.get_schema(999_999))
    refused(42201, "no schema", lambda: client.register_schema(subject, Schema('{"type":"nope"}', "AVRO")))
    refused(42201, "no file", lambda: client.register_schema(subject, Schema("message {", "PROTOBUF")))
    refused(42203, "no level", lambda: client.set_compatibility(subject_name=subject, level="SIDEWAYS"))
    check(client.delete_subject(subject) == [1, 2, 3], "soft delete")
    check(client.delete_subject(subject, permanent=True) in ([1, 2, 3], None), "permanent delete")
    refused(40401, "deleted subject", lambda: client.get_versions(subject))
    ok("subjects, versions, compatibility, deletes")


def references(client):
    address = json.dumps({"type": "record", "name": "Address", "namespace": "acme", "fields": [{"name": "s", "type": "string"}]})
    base, user = name("address"), name("customer")
    client.register_schema(base, Schema(address, "AVRO"))
    schema = Schema(avro(ID, {"name": "home", "type": "acme.Address"}), "AVRO", [SchemaReference("acme.Address", base, 1)])
    registered = client.register_schema(user, schema)
    check(client.get_schema(registered).references[0].subject == base, "references come back")
    refused(42206, "deleting what others refer to", lambda: client.delete_subject(base))
    ok("references")


def sql(query):
    request = urllib.request.Request(HTTP + "/sql", query.encode(), {"content-type": "text/plain", "accept": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["rows"]


def records(client, kind):
    topic = name(f"rows-{kind}")
    if kind == "avro":
        serialize = AvroSerializer(client, avro(ID, CITY, PRICE))
        deserialize = AvroDeserializer(client)
    else:
        schema = {"title": "Order", "type": "object", "properties": {
            "id": {"type": "integer"}, "city": {"type": "string"}, "price": {"type": "number"}}}
        serialize = JSONSerializer(json.dumps(schema), client)
        deserialize = JSONDeserializer(json.dumps(schema), schema_registry_client=client)
    rows = [{"id": i, "city": f"city {i % 7}", "price": i / 4} for i in range(1000)]
    producer = Producer({"bootstrap.servers": ADDRESS})
    context = SerializationContext(topic, MessageField.VALUE)
    for row in rows:
        producer.produce(topic, serialize(row, context))
    check(producer.flush(30) == 0, "flush")

    consumer = Consumer({"bootstrap.servers": ADDRESS, "group.id": name("readers"), "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found, end = [], time.monotonic() + 30
    while len(found) < len(rows) and time.monotonic() < end:
        message = consumer.poll(1)
        if message is not None and not message.error():
            found.append(deserialize(message.value(), context))
    consumer.close()
    check(sorted(found, key=lambda row: row["id"]) == rows, f"{kind} records come back as they were")
    query = f'SELECT count(*), sum(id), sum(price), count(DISTINCT city) FROM "{topic}"'
    expected = [[1000, 499500, 124875.0, 7]]
    until(20, f"{kind} records in SQL: {sql(query)}", lambda: sql(query) == expected)
    ok(f"{kind} serializers, and the topic as a table by its subject")


def the_rest(client):
    """What Confluent's client has no method for."""
    def ask(path, method="GET"):
        try:
            with urllib.request.urlopen(urllib.request.Request(HTTP + path, method=method)) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["error_code"]

    context = f".{name('context')}"
    client.register_schema(f":{context}:orders-value", Schema(avro(ID), "AVRO"))
    check({".", context} <= set(ask("/contexts")), "contexts in use")
    clusters = ask("/v1/metadata/id")["scope"]["clusters"]
    check(clusters["kafka-cluster"] == Producer({"bootstrap.servers": ADDRESS}).list_topics().cluster_id, "cluster")
    check(ask("/v1/metadata/version")["version"] >= "8", "version")
    check(ask(f"/subjects/:{context}:orders-value/metadata?key=owner&value=me") == (404, 40403), "metadata")
    for path in ["/subjects/x/y", "/schemas/nope", "/v1/nope"]:
        check(ask(path) == (404, 404), f"{path} is not served")
    check(ask("/subjects", "PUT") == (405, 405), "not that way")
    ok("contexts, the server's id and version, refusals")


if __name__ == "__main__":
    client = SchemaRegistryClient({"url": HTTP})
    subjects(client)
    the_rest(client)
    references(client)
    records(client, "avro")
    records(client, "json")
