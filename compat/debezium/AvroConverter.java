package compat;

import io.apicurio.registry.utils.converter.avro.AvroData;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.avro.AvroSchema;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.CachedSchemaRegistryClient;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.errors.RetriableException;
import org.apache.kafka.connect.storage.Converter;

/**
 * What Confluent's AvroConverter does, which is published in a repository of Confluent's only: a schema is registered
 * under the topic's name, a record is a zero byte, the schema's id and Avro. Both halves are other people's: the
 * mapping of Connect's values and the registry's client.
 */
public class AvroConverter implements Converter {
    private final AvroData data = new AvroData(1000);
    /** Ids of the schemas this converter has registered. */
    private final Map<String, Map<Schema, Integer>> ids = new HashMap<>();
    private CachedSchemaRegistryClient registry;
    private boolean isKey;

    @Override
    public void configure(Map<String, ?> config, boolean isKey) {
        this.registry = new CachedSchemaRegistryClient(config.get("schema.registry.url").toString(), 1000);
        this.isKey = isKey;
    }

    @Override
    public byte[] fromConnectData(String topic, Schema schema, Object value) {
        if (value == null) {
            return null;
        }
        org.apache.avro.Schema avro = data.fromConnectSchema(schema);
        Map<Schema, Integer> known = ids.computeIfAbsent(topic, unused -> new HashMap<>());
        try {
            Integer id = known.get(schema);
            if (id == null) {
                id = registry.register(topic + (isKey ? "-key" : "-value"), new AvroSchema(avro.toString()));
                known.put(schema, id);
            }
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            DataOutputStream head = new DataOutputStream(bytes);
            head.writeByte(0);
            head.writeInt(id);
            head.flush();
            BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(bytes, null);
            new GenericDatumWriter<>(avro).write(data.fromConnectData(schema, value), encoder);
            encoder.flush();
            return bytes.toByteArray();
        } catch (IOException failed) {
            throw new RetriableException("the registry did not answer", failed);
        } catch (RestClientException refused) {
            throw new DataException("the registry refused the schema of " + topic, refused);
        }
    }

    @Override
    public SchemaAndValue toConnectData(String topic, byte[] bytes) {
        if (bytes == null) {
            return SchemaAndValue.NULL;
        }
        ByteBuffer head = ByteBuffer.wrap(bytes);
        if (bytes.length < 5 || head.get() != 0) {
            throw new DataException("a record of " + topic + " names no schema");
        }
        try {
            int id = head.getInt();
            String text = registry.getSchemaById(id).canonicalString();
            org.apache.avro.Schema avro = new org.apache.avro.Schema.Parser().parse(text);
            Object value = new GenericDatumReader<>(avro)
                    .read(null, DecoderFactory.get().binaryDecoder(bytes, 5, bytes.length - 5, null));
            return data.toConnectData(avro, value);
        } catch (IOException failed) {
            throw new RetriableException("the registry did not answer", failed);
        } catch (RestClientException refused) {
            throw new DataException("the registry does not know the schema of a record of " + topic, refused);
        }
    }
}
