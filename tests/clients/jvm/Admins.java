import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Administration by the JVM client. */
final class Admins {
    private Admins() {
    }

    static void topics(Contract.Options options) throws Exception {
        String topic = options.get("topic");
        try (Admin admin = Admin.create(Contract.settings(options))) {
            NewTopic created = new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "1000"));
            admin.createTopics(List.of(created)).all().get();
            Contract.step("created", "");
            refused(TopicExistsException.class, () -> admin.createTopics(List.of(created)).all().get());
            check("listed", admin.listTopics().names().get().contains(topic), true);
            TopicDescription described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            check("described", described.partitions().size(), 3);
            check("topic-id", admin.listTopics().listings().get().stream()
                    .anyMatch(listing -> listing.topicId().equals(described.topicId())), true);
            settings(admin, topic);
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
            check("grown", admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size(), 4);
            TopicPartition partition = new TopicPartition(topic, 0);
            check("offsets", admin.listOffsets(Map.of(partition, OffsetSpec.latest())).partitionResult(partition).get()
                    .offset(), 0L);
            check("records-deleted", admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(0)))
                    .lowWatermarks().get(partition).get().lowWatermark(), 0L);
            check("cluster", admin.describeCluster().nodes().get().isEmpty(), false);
            admin.deleteTopics(List.of(topic)).all().get();
            check("deleted", admin.listTopics().names().get().contains(topic), false);
        }
    }

    private static void settings(Admin admin, String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        check("settings", retention(admin, resource).value(), "1000");
        ConfigEntry changed = new ConfigEntry("retention.ms", "2000");
        admin.incrementalAlterConfigs(
                Map.of(resource, List.of(new AlterConfigOp(changed, AlterConfigOp.OpType.SET)))).all().get();
        check("changed", retention(admin, resource).value(), "2000");
        admin.incrementalAlterConfigs(
                Map.of(resource, List.of(new AlterConfigOp(changed, AlterConfigOp.OpType.DELETE)))).all().get();
        check("default", retention(admin, resource).isDefault(), true);
    }

    private static ConfigEntry retention(Admin admin, ConfigResource resource) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms");
    }

    static void groups(Contract.Options options) throws Exception {
        String group = options.get("group");
        try (Admin admin = Admin.create(Contract.settings(options))) {
            Set<String> listed = admin.listGroups().all().get().stream().map(GroupListing::groupId)
                    .collect(java.util.stream.Collectors.toSet());
            check("group-listed", listed.contains(group), true);
            var described = admin.describeConsumerGroups(List.of(group)).describedGroups().get(group).get();
            check("group-described", described.groupState(), GroupState.EMPTY);
            long sum = admin.listConsumerGroupOffsets(Map.of(group, new ListConsumerGroupOffsetsSpec()))
                    .partitionsToOffsetAndMetadata(group).get().values().stream().mapToLong(at -> at.offset()).sum();
            check("group-offsets", sum, options.count());
            TopicPartition partition = new TopicPartition(options.get("topic"), 0);
            admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
            check("group-offset-deleted", admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get()
                    .get(partition), null);
            admin.deleteConsumerGroups(List.of(group)).all().get();
            refused(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get());
            Contract.step("group-deleted", "");
        }
    }

    static void refusals(Contract.Options options) throws Exception {
        String topic = options.get("topic");
        try (Admin admin = Admin.create(Contract.settings(options))) {
            refused(UnknownTopicOrPartitionException.class,
                    () -> admin.describeTopics(List.of(topic)).allTopicNames().get());
            refused(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all().get());
            Contract.step("unknown-topic", "");
            refused(InvalidTopicException.class,
                    () -> admin.createTopics(List.of(new NewTopic("no/topic", 1, (short) 1))).all().get());
            Contract.step("invalid-topic", "");
        }
    }

    private static void check(String name, Object got, Object expected) {
        if (!java.util.Objects.equals(got, expected)) {
            throw new IllegalStateException(name + ": got " + got + ", expected " + expected);
        }
        Contract.step(name, "");
    }

    private static void refused(Class<?> by, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (ExecutionException error) {
            if (by.isInstance(error.getCause())) {
                return;
            }
            throw error;
        }
        throw new IllegalStateException("not refused by " + by);
    }
}
