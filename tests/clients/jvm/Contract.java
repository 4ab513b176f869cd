import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The JVM client, in the contract of tests/clients/README.md. */
public final class Contract {
    static final Duration POLL = Duration.ofMillis(200);

    /** The options of the command line, by name. */
    record Options(Map<String, String> all) {
        static Options of(String[] arguments) {
            Map<String, String> all = new HashMap<>();
            for (int at = 1; at + 1 < arguments.length; at += 2) {
                all.put(arguments[at].substring(2), arguments[at + 1]);
            }
            return new Options(all);
        }

        String get(String name) {
            String value = all.get(name);
            if (value == null) {
                throw new IllegalArgumentException("--" + name + " is missing");
            }
            return value;
        }

        long count() {
            return Long.parseLong(get("count"));
        }

        long stall() {
            return Long.parseLong(all.getOrDefault("stall", "0"));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Options options = Options.of(arguments);
        switch (arguments[0]) {
            case "produce" -> produce(options);
            case "read" -> read(options);
            case "consume" -> consume(options, options.count());
            case "follow" -> consume(options, Long.MAX_VALUE);
            case "times" -> Positions.times(options);
            case "beyond" -> Positions.beyond(options);
            case "absent" -> Positions.absent(options);
            case "topics" -> Admins.topics(options);
            case "groups" -> Admins.groups(options);
            case "refusals" -> Admins.refusals(options);
            default -> throw new IllegalArgumentException("no such scenario: " + arguments[0]);
        }
    }

    static Properties settings(Options options) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", options.get("bootstrap"));
        return settings;
    }

    static void step(String name, String fields) {
        System.out.println("{\"step\":\"" + name + "\"" + fields + "}");
    }

    private static void produce(Options options) throws Exception {
        List<String> lines = new BufferedReader(new InputStreamReader(System.in)).lines().toList();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (String codec : options.get("codecs").split(",")) {
            Properties settings = settings(options);
            settings.put("compression.type", codec);
            settings.put("linger.ms", "20");
            try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
                for (String line : lines) {
                    String[] fields = line.split("\t", 2);
                    sent.add(producer.send(new ProducerRecord<>(options.get("topic"), fields[0], fields[1])));
                }
            }
        }
        for (Future<RecordMetadata> answer : sent) {
            answer.get();
        }
        step("produced", ",\"count\":" + sent.size());
    }

    private static void read(Options options) {
        try (var consumer = consumer(settings(options))) {
            List<TopicPartition> partitions = consumer.partitionsFor(options.get("topic")).stream()
                    .map(info -> new TopicPartition(info.topic(), info.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            for (long left = options.count(); left > 0;) {
                for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                    print(record);
                    left--;
                }
            }
        }
    }

    private static void consume(Options options, long count) throws InterruptedException {
        Properties settings = settings(options);
        settings.put("group.id", options.get("group"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("group.protocol", options.all().getOrDefault("protocol", "classic"));
        if (settings.get("group.protocol").equals("classic")) {
            settings.put("heartbeat.interval.ms", "300");
            settings.put("session.timeout.ms", options.all().getOrDefault("session", "45000"));
            settings.put("partition.assignment.strategy", assignors(options));
        }
        if (options.all().containsKey("pattern")) {
            settings.put("metadata.max.age.ms", "500");
        }
        if (options.stall() > 0) {
            settings.put("max.poll.interval.ms", "3000");
        }
        if (options.all().containsKey("instance")) {
            settings.put("group.instance.id", options.get("instance"));
        }
        try (var consumer = consumer(settings)) {
            Member member = new Member(consumer, options);
            String pattern = options.all().get("pattern");
            if (pattern == null) {
                consumer.subscribe(List.of(options.get("topic")), member);
            } else if (settings.get("group.protocol").equals("classic")) {
                consumer.subscribe(Pattern.compile(pattern), member);
            } else {
                consumer.subscribe(new SubscriptionPattern(pattern), member);
            }
            if (count == Long.MAX_VALUE) {
                wakeAtEndOfInput(consumer);
            }
            member.run(count);
        }
    }

    private static List<String> assignors(Options options) {
        String kafka = "org.apache.kafka.clients.consumer.";
        return switch (options.all().getOrDefault("assignor", "")) {
            case "range" -> List.of(kafka + "RangeAssignor");
            case "roundrobin" -> List.of(kafka + "RoundRobinAssignor");
            case "cooperative-sticky" -> List.of(kafka + "CooperativeStickyAssignor");
            default -> List.of(kafka + "RangeAssignor", kafka + "CooperativeStickyAssignor");
        };
    }

    /** A member of a group: it knows what it has printed and commits exactly that. */
    private static final class Member implements ConsumerRebalanceListener {
        private final KafkaConsumer<String, String> consumer;
        private final Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
        private Set<TopicPartition> told = Set.of();
        /** Whether it commits what it has printed at once: of a topic that is deleted nothing can be committed. */
        private final boolean eager;
        private long stall;

        Member(KafkaConsumer<String, String> consumer, Options options) {
            this.consumer = consumer;
            this.stall = options.stall();
            this.eager = options.all().containsKey("pattern");
        }

        void run(long count) throws InterruptedException {
            try {
                for (long left = count; left > 0;) {
                    for (ConsumerRecord<String, String> record : poll()) {
                        if (left-- <= 0) {
                            break;
                        }
                        print(record);
                        TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                        positions.put(partition, new OffsetAndMetadata(record.offset() + 1));
                    }
                    if (eager) {
                        consumer.commitSync(positions);
                        positions.clear();
                    }
                    tellAssignment();
                }
            } catch (WakeupException endOfInput) {
                tellAssignment();
            }
            try {
                consumer.commitSync(positions);
            } catch (WakeupException again) {
                // When input ends in the middle of a rebalance, the next call after the poll may be woken as well.
                consumer.commitSync(positions);
            }
        }

        /** A member that stalls polls no more for its time once it got records, which others then get. */
        private ConsumerRecords<String, String> poll() throws InterruptedException {
            ConsumerRecords<String, String> polled = consumer.poll(POLL);
            if (!polled.isEmpty() && stall > 0) {
                Thread.sleep(stall);
                stall = 0;
                return ConsumerRecords.empty();
            }
            return polled;
        }

        private void tellAssignment() {
            if (!told.equals(consumer.assignment())) {
                told = Set.copyOf(consumer.assignment());
                tell("assigned", told);
            }
        }

        private static void tell(String step, Collection<TopicPartition> which) {
            TreeSet<Integer> partitions =
                    which.stream().map(TopicPartition::partition).collect(Collectors.toCollection(TreeSet::new));
            step(step, ",\"partitions\":" + partitions);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
            positions.keySet().retainAll(consumer.assignment());
            consumer.commitSync(positions);
            revoked.forEach(positions::remove);
            tell("revoked", revoked);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> lost) {
            lost.forEach(positions::remove);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
            // What it has is told after the poll.
        }
    }

    static KafkaConsumer<String, String> consumer(Properties settings) {
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    private static void wakeAtEndOfInput(KafkaConsumer<String, String> consumer) {
        Thread waiting = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // What is written there means nothing.
                }
            } catch (IOException closed) {
                // As good as its end.
            }
            consumer.wakeup();
        });
        waiting.setDaemon(true);
        waiting.start();
    }

    static void print(ConsumerRecord<String, String> record) {
        step("record", ",\"partition\":" + record.partition() + ",\"offset\":" + record.offset() + ",\"key\":\""
                + record.key() + "\",\"value\":\"" + record.value() + "\"");
    }
}
