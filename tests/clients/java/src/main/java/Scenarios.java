import java.time.Duration;
import java.util.*;
import java.util.concurrent.TimeUnit;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;

/** The Java client against LAKEHEAD_KAFKA. `--member GROUP TOPIC` is a consumer to be killed. */
public class Scenarios {
    static final String ADDRESS = Optional.ofNullable(System.getenv("LAKEHEAD_KAFKA")).orElse("127.0.0.1:9092");
    static final String RUN = UUID.randomUUID().toString().substring(0, 8);

    interface Scenario { void run() throws Exception; }

    public static void main(String[] args) throws Exception {
        if (args.length == 3 && args[0].equals("--member")) {
            try (var consumer = consumer(args[1], Map.of("session.timeout.ms", "6000"))) {
                consumer.subscribe(List.of(args[2]));
                while (true) consumer.poll(Duration.ofMillis(200));
            }
        }
        var scenarios = new LinkedHashMap<String, Scenario>();
        scenarios.put("codecs", Scenarios::codecs);
        scenarios.put("idempotence", Scenarios::idempotence);
        scenarios.put("transactions", Scenarios::transactions);
        scenarios.put("seek by time", Scenarios::seekByTime);
        scenarios.put("admin", Scenarios::admin);
        scenarios.put("rebalance after kill", Scenarios::rebalanceAfterKill);
        for (var entry : scenarios.entrySet()) {
            entry.getValue().run();
            System.out.println("ok java " + entry.getKey());
        }
    }

    static void transactions() throws Exception {
        String topic = name("transactions"), group = name("copier"), id = name("id");
        var here = new TopicPartition(topic, 0);
        try (var admin = Admin.create(Map.of("bootstrap.servers", ADDRESS));
                var producer = producer(Map.of("transactional.id", id));
                var member = consumer(group, Map.of())) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
            producer.initTransactions();
            for (String value : List.of("committed", "aborted", "again")) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, value)).get();
                boolean commits = !value.equals("aborted");
                var offset = Map.of(here, new OffsetAndMetadata(commits ? 7 : 9));
                producer.sendOffsetsToTransaction(offset, member.groupMetadata());
                var open = admin.describeTransactions(List.of(id)).description(id).get();
                check(open.state() == TransactionState.ONGOING && open.topicPartitions().contains(here), "described: " + open);
                if (commits) producer.commitTransaction(); else producer.abortTransaction();
            }
            check(admin.listTransactions().all().get().stream().anyMatch(t -> t.transactionalId().equals(id)), "listed");
            check(member.committed(Set.of(here)).get(here).offset() == 7, "the offset of those that committed");
            try (var second = producer(Map.of("transactional.id", id))) {
                second.initTransactions();
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, "fenced"));
                try {
                    producer.commitTransaction();
                    check(false, "fenced");
                } catch (org.apache.kafka.common.errors.ProducerFencedException
                        | org.apache.kafka.common.errors.InvalidProducerEpochException expected) {
                }
            }
        }
        try (var reader = consumer(name("reader"), Map.of("isolation.level", "read_committed"))) {
            reader.assign(List.of(here));
            reader.seekToBeginning(List.of(here));
            var got = new ArrayList<String>();
            long end = reader.endOffsets(List.of(here)).get(here);
            while (reader.position(here) < end) reader.poll(Duration.ofMillis(200)).forEach(r -> got.add(r.value()));
            check(got.equals(List.of("committed", "again")), "committed: " + got);
        }
    }

    static String name(String what) { return "java-" + what + "-" + RUN; }

    static void check(boolean condition, String what) {
        if (!condition) throw new AssertionError(what);
    }

    static KafkaProducer<String, String> producer(Map<String, String> more) {
        var settings = new Properties();
        settings.put("bootstrap.servers", ADDRESS);
        settings.putAll(more);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String group, Map<String, String> more) {
        var settings = new Properties();
        settings.put("bootstrap.servers", ADDRESS);
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    static List<ConsumerRecord<String, String>> consume(String topic, int count) {
        var got = new ArrayList<ConsumerRecord<String, String>>();
        try (var consumer = consumer(name("readers"), Map.of())) {
            consumer.subscribe(List.of(topic));
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
            while (got.size() < count && System.nanoTime() < end) consumer.poll(Duration.ofMillis(500)).forEach(got::add);
        }
        check(got.size() == count, topic + ": " + got.size() + " of " + count + " records");
        return got;
    }

    static void codecs() {
        for (var codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            var topic = name(codec);
            var values = IntStream.range(0, 2000).mapToObj(i -> codec + " " + i + " " + "x".repeat(200)).toList();
            try (var producer = producer(Map.of("compression.type", codec))) {
                values.forEach(value -> producer.send(new ProducerRecord<>(topic, value)));
            }
            var got = consume(topic, values.size()).stream().map(ConsumerRecord::value).collect(Collectors.toSet());
            check(got.equals(new HashSet<>(values)), codec);
        }
    }

    static void idempotence() throws Exception {
        var topic = name("idempotent");
        try (var producer = producer(Map.of("batch.size", "500", "linger.ms", "0"))) {
            var sent = IntStream.range(0, 10000).mapToObj(i -> producer.send(new ProducerRecord<>(topic, 0, null, "" + i))).toList();
            long expected = 0;
            for (var future : sent) check(future.get().offset() == expected++, "dense offsets");
        }
        var got = consume(topic, 10000);
        check(IntStream.range(0, 10000).allMatch(i -> got.get(i).value().equals("" + i)), "order");
    }

    static void seekByTime() {
        var topic = name("time");
        long start = System.currentTimeMillis() - 1_000_000;
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 1000; i++) producer.send(new ProducerRecord<>(topic, 0, start + i * 10L, null, "" + i));
        }
        var place = new TopicPartition(topic, 0);
        try (var consumer = consumer(name("seek"), Map.of())) {
            check(consumer.offsetsForTimes(Map.of(place, start + 4991)).get(place).offset() == 500, "offset by time");
            check(consumer.offsetsForTimes(Map.of(place, start + 10_000)).get(place) == null, "the end");
            check(consumer.endOffsets(List.of(place)).get(place) == 1000, "end");
            consumer.assign(List.of(place));
            consumer.seek(place, 500);
            var records = consumer.poll(Duration.ofSeconds(10)).records(place);
            check(!records.isEmpty() && records.get(0).value().equals("500"), "seek");
        }
    }

    static void admin() throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", ADDRESS))) {
            var topic = name("admin");
            admin.createTopics(List.of(new NewTopic(topic, Optional.of(3), Optional.empty()).configs(Map.of("retention.ms", "3600000")))).all().get();
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            check(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == 5, "partitions");
            check(admin.describeCluster().nodes().get().size() == 1, "one broker");
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            var set = new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
            check(admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value().equals("7200000"), "altered");
            try (var producer = producer(Map.of())) {
                for (int i = 0; i < 100; i++) producer.send(new ProducerRecord<>(topic, 0, null, "" + i));
            }
            var place = new TopicPartition(topic, 0);
            admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(40))).all().get();
            check(admin.listOffsets(Map.of(place, OffsetSpec.earliest())).all().get().get(place).offset() == 40, "records deleted");
            check(admin.listOffsets(Map.of(place, OffsetSpec.maxTimestamp())).all().get().get(place).offset() >= 40, "newest");
            var group = name("admin-group");
            admin.alterConsumerGroupOffsets(group, Map.of(place, new OffsetAndMetadata(50, "half"))).all().get();
            var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            check(offsets.get(place).offset() == 50 && offsets.get(place).metadata().equals("half"), "offsets");
            check(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group)), "listed");
            admin.describeClassicGroups(List.of(group)).all().get();
            admin.deleteConsumerGroupOffsets(group, Set.of(place)).all().get();
            admin.alterConsumerGroupOffsets(group, Map.of(place, new OffsetAndMetadata(1))).all().get();
            admin.deleteConsumerGroups(List.of(group)).all().get();
            admin.describeLogDirs(List.of(1)).allDescriptions().get();
            admin.deleteTopics(List.of(topic)).all().get();
            check(!admin.listTopics().names().get().contains(topic), "deleted");
        }
    }

    static void rebalanceAfterKill() throws Exception {
        var topic = name("rebalance");
        var group = name("pair");
        try (var admin = Admin.create(Map.of("bootstrap.servers", ADDRESS))) {
            admin.createTopics(List.of(new NewTopic(topic, 4, (short) 1))).all().get();
        }
        try (var consumer = consumer(group, Map.of("session.timeout.ms", "6000"))) {
            consumer.subscribe(List.of(topic));
            settle(consumer, 4, "alone");
            var java = ProcessHandle.current().info().command().orElse("java");
            var second = new ProcessBuilder(java, "-cp", System.getProperty("java.class.path"), "Scenarios", "--member", group, topic)
                .inheritIO().start();
            settle(consumer, 2, "share");
            second.destroyForcibly().waitFor();
            settle(consumer, 4, "all back");
        }
    }

    static void settle(KafkaConsumer<?, ?> consumer, int partitions, String what) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (consumer.assignment().size() != partitions) {
            check(System.nanoTime() < end, what);
            consumer.poll(Duration.ofMillis(200));
        }
    }
}
