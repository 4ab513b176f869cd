import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Kafka Streams counts the words of a topic into another, at least once, until standard input ends.
 * `WordCount HOST:PORT APPLICATION INPUT OUTPUT STATE_DIRECTORY`; prints `running` when it is.
 */
public final class WordCount {
    private WordCount() {
    }

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("application.id", arguments[1]);
        settings.put("state.dir", arguments[4]);
        settings.put("commit.interval.ms", "200");
        // It leaves no group when it stops, so whoever comes next waits for this.
        settings.put("session.timeout.ms", "6000");
        settings.put("auto.offset.reset", "earliest");
        settings.put("processing.guarantee", "at_least_once");
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(arguments[2], Consumed.with(Serdes.String(), Serdes.String()))
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
                .count(Materialized.as("counts"))
                .toStream()
                .mapValues(count -> Long.toString(count))
                .to(arguments[3], Produced.with(Serdes.String(), Serdes.String()));
        CountDownLatch running = new CountDownLatch(1);
        try (KafkaStreams streams = new KafkaStreams(builder.build(), settings)) {
            streams.setStateListener((to, from) -> {
                if (to == KafkaStreams.State.RUNNING) {
                    running.countDown();
                } else if (to == KafkaStreams.State.ERROR) {
                    System.exit(1);
                }
            });
            streams.start();
            running.await();
            System.out.println("running");
            while (System.in.read() >= 0) {
                // What is written there means nothing.
            }
            if (!streams.close(Duration.ofSeconds(30))) {
                System.exit(2);
            }
        }
    }
}
