import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * A Kafka Streams application with processing.guarantee=exactly_once_v2: counts words, and joins orders with users.
 *
 *   fill  ADDRESS PREFIX COUNT              writes COUNT lines of words and COUNT orders of ten users
 *   run   ADDRESS PREFIX FOLDER LOGGED      runs the application until it is killed; LOGGED: whether its stores have changelogs
 *   check ADDRESS PREFIX COUNT SECONDS      reads what was committed: every word counted, every order joined, each once
 */
public class WordCount {
    static final String[] WORDS = {"log", "lake", "topic", "table", "offset", "batch", "reader"};
    static final int USERS = 10;

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "fill" -> fill(args[1], args[2], Integer.parseInt(args[3]));
            case "run" -> run(args[1], args[2], args[3], Boolean.parseBoolean(args[4]));
            case "check" -> check(args[1], args[2], Integer.parseInt(args[3]), Integer.parseInt(args[4]));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    /** Line n holds three words. */
    static String line(int n) {
        return WORDS[n % 7] + " " + WORDS[n % 5] + " " + WORDS[n % 3];
    }

    static void fill(String address, String prefix, int count) {
        Properties config = new Properties();
        config.put("bootstrap.servers", address);
        config.put("key.serializer", StringSerializer.class.getName());
        config.put("value.serializer", StringSerializer.class.getName());
        try (Producer<String, String> producer = new KafkaProducer<>(config)) {
            for (int n = 0; n < USERS; n++) {
                producer.send(new ProducerRecord<>(prefix + "-users", null, 1000L, "user" + n, "name" + n));
            }
            producer.flush();
            long now = System.currentTimeMillis();
            for (int n = 0; n < count; n++) {
                producer.send(new ProducerRecord<>(prefix + "-lines", null, now + n, "line" + n, line(n)));
                producer.send(new ProducerRecord<>(prefix + "-orders", null, now + n, "user" + n % USERS, "order" + n));
            }
        }
        System.out.println("filled " + count);
    }

    static void run(String address, String prefix, String folder, boolean logged) {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, prefix);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, address);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, 500L);
        config.put("auto.offset.reset", "earliest");
        config.put("session.timeout.ms", "6000");
        config.put("max.poll.records", "20"); // Slow enough to be killed in the middle.
        KafkaStreams streams = new KafkaStreams(topology(prefix, logged), config);
        streams.setUncaughtExceptionHandler(failed -> {
            System.out.println("failed: " + failed);
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((now, before) -> System.out.println("state " + now));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
    }

    static Topology topology(String prefix, boolean logged) {
        StreamsBuilder builder = new StreamsBuilder();
        Materialized<String, Long, KeyValueStore<Bytes, byte[]>> counts = Materialized.as("counts");
        Materialized<String, String, KeyValueStore<Bytes, byte[]>> names = Materialized.as("names");
        builder.<String, String>stream(prefix + "-lines")
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word)
            .count(logged ? counts : counts.withLoggingDisabled())
            .toStream()
            .to(prefix + "-counts", Produced.with(Serdes.String(), Serdes.Long()));
        KTable<String, String> users = builder.table(prefix + "-users", logged ? names : names.withLoggingDisabled());
        builder.<String, String>stream(prefix + "-orders")
            .join(users, (order, name) -> order + " of " + name)
            .to(prefix + "-joined");
        return builder.build();
    }

    static void check(String address, String prefix, int count, int seconds) {
        Map<String, Long> expected = new TreeMap<>();
        Set<String> orders = new HashSet<>();
        for (int n = 0; n < count; n++) {
            for (String word : line(n).split(" ")) {
                expected.merge(word, 1L, Long::sum);
            }
            orders.add("order" + n + " of name" + n % USERS);
        }
        Map<String, Long> counted = new TreeMap<>();
        Set<String> joined = new HashSet<>();
        Properties config = new Properties();
        config.put("bootstrap.servers", address);
        config.put("isolation.level", "read_committed");
        config.put("auto.offset.reset", "earliest");
        long deadline = System.currentTimeMillis() + seconds * 1000L;
        Deserializer<byte[]> bytes = new ByteArrayDeserializer();
        try (Consumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, bytes, bytes)) {
            List<TopicPartition> all = new ArrayList<>();
            for (String topic : List.of(prefix + "-counts", prefix + "-joined")) {
                consumer.partitionsFor(topic).forEach(p -> all.add(new TopicPartition(topic, p.partition())));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            while (!(counted.equals(expected) && joined.equals(orders)) && System.currentTimeMillis() < deadline) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    if (record.topic().endsWith("-joined")) {
                        String order = new String(record.value());
                        if (!joined.add(order)) {
                            throw new IllegalStateException("joined twice: " + order);
                        }
                    } else {
                        String word = new String(record.key());
                        long now = new LongDeserializer().deserialize("", record.value());
                        if (now <= counted.getOrDefault(word, 0L)) {
                            throw new IllegalStateException(word + " counted " + counted.get(word) + ", then " + now);
                        }
                        counted.put(word, now);
                    }
                }
            }
        }
        if (!counted.equals(expected) || !joined.equals(orders)) {
            throw new IllegalStateException(
                "counted " + counted + " of " + expected + ", joined " + joined.size() + " of " + orders.size());
        }
        System.out.println("exact");
    }
}
