import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.StringSerializer;

/** Where records are by time and by offset, and what a topic that is not there does. */
final class Positions {
    private static final int WAIT_MS = 500;
    /** What a fetch may take on a machine that is busy with other tests. */
    private static final int WAIT_MS_MAX = 10_000;
    private static final long OWN_TIME = 1000;
    /** An offset that no topic of a test reaches. */
    private static final long BEYOND = 1_000_000;

    private Positions() {
    }

    /** A consumer without a group, which has the one partition of the topic. */
    private static KafkaConsumer<String, String> alone(Contract.Options options, String topic, Map<String, ?> more) {
        Properties settings = Contract.settings(options);
        settings.putAll(more);
        KafkaConsumer<String, String> consumer = Contract.consumer(settings);
        consumer.assign(List.of(new TopicPartition(topic, 0)));
        return consumer;
    }

    private static ConsumerRecord<String, String> first(KafkaConsumer<String, String> consumer) {
        while (true) {
            ConsumerRecords<String, String> polled = consumer.poll(Contract.POLL);
            if (!polled.isEmpty()) {
                return polled.iterator().next();
            }
        }
    }

    static void times(Contract.Options options) throws Exception {
        TopicPartition partition = new TopicPartition(options.get("topic"), 0);
        try (var consumer = alone(options, options.get("topic"), Map.of("fetch.max.wait.ms", WAIT_MS))) {
            // Records 5 to 9 have the times 6,000,000 to 10,000,000, the others are deleted.
            offsetForTime(consumer, partition, 7_500_000, 7L);
            offsetForTime(consumer, partition, 0, 5L);
            offsetForTime(consumer, partition, 4_102_444_800_000L, null);
            Contract.step("offsets-for-times", "");
            consumer.seekToEnd(List.of(partition));
            double latency;
            do {
                consumer.poll(Contract.POLL);
                latency = latency(consumer);
            } while (Double.isNaN(latency));
            check("waited " + latency, latency >= WAIT_MS - 10 && latency < WAIT_MS_MAX);
            Contract.step("waited", "");
        }
        String stamped = options.get("stamped");
        try (var producer = producer(Contract.settings(options))) {
            long answered = producer.send(new ProducerRecord<>(stamped, 0, OWN_TIME, "key", "value")).get().timestamp();
            Contract.step("answered", ",\"timestamp\":" + answered);
        }
        try (var consumer = alone(options, stamped, Map.of("auto.offset.reset", "earliest"))) {
            ConsumerRecord<String, String> read = first(consumer);
            check("append time", read.timestampType() == TimestampType.LOG_APPEND_TIME);
            Contract.step("append-time", "");
            Contract.step("read", ",\"timestamp\":" + read.timestamp());
        }
    }

    private static void offsetForTime(KafkaConsumer<?, ?> consumer, TopicPartition partition, long time, Long expected) {
        var found = consumer.offsetsForTimes(Map.of(partition, time)).get(partition);
        check("offset for " + time, java.util.Objects.equals(found == null ? null : found.offset(), expected));
    }

    private static double latency(KafkaConsumer<?, ?> consumer) {
        for (Metric metric : consumer.metrics().values()) {
            if (metric.metricName().name().equals("fetch-latency-avg")) {
                return (double) metric.metricValue();
            }
        }
        throw new IllegalStateException("fetches are not measured");
    }

    static void beyond(Contract.Options options) {
        TopicPartition partition = new TopicPartition(options.get("topic"), 0);
        String age = "by_duration:" + Duration.between(Instant.ofEpochMilli(7_500_000), Instant.now());
        for (String policy : List.of("earliest", "latest", "none", age)) {
            try (var consumer = alone(options, partition.topic(), Map.of("auto.offset.reset", policy))) {
                consumer.seek(partition, BEYOND);
                Contract.print(first(consumer));
            } catch (OffsetOutOfRangeException refused) {
                Contract.step("out-of-range", "");
            }
        }
    }

    static void absent(Contract.Options options) throws Exception {
        String topic = options.get("topic");
        Properties unwilling = Contract.settings(options);
        unwilling.put("allow.auto.create.topics", "false");
        try (var consumer = Contract.consumer(unwilling)) {
            check("not created", consumer.partitionsFor(topic + "-unwanted").isEmpty());
            Contract.step("not-created", "");
        }
        Properties settings = Contract.settings(options);
        settings.put("max.block.ms", options.get("wait"));
        try (var producer = producer(settings)) {
            producer.send(new ProducerRecord<>(topic, "key", "value")).get();
            Contract.step("created", "");
        } catch (ExecutionException unknown) {
            check(unknown.toString(), unknown.getCause() instanceof TimeoutException);
            Contract.step("unknown-topic", "");
        }
    }

    private static KafkaProducer<String, String> producer(Properties settings) {
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    private static void check(String what, boolean right) {
        if (!right) {
            throw new IllegalStateException(what);
        }
    }
}
