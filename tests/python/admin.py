#!/usr/bin/env python3
"""Administers a broker with confluent-kafka as a program would, and checks every answer.

`admin.py BROKER` exits with 0 when all answers are right. It makes topics of its own.
"""

import sys

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

WAIT_SECONDS = 60
TOPIC = "administered"


def check(what, got, expect):
    """Ends the program when an answer is not the right one."""
    if got != expect:
        sys.exit(f"admin.py: {what}: got {got!r}, expected {expect!r}")


def answer(futures):
    """The one answer of a call that was made for one thing."""
    (future,) = futures.values()
    return future.result(WAIT_SECONDS)


def refused(what, code, call):
    """The call must be refused with this code."""
    try:
        call()
    except KafkaException as error:
        check(what, error.args[0].name(), KafkaError(code).name())
    else:
        sys.exit(f"admin.py: {what} was not refused")


def topics(admin):
    """Topics come, grow and go."""
    new = NewTopic(TOPIC, num_partitions=2, replication_factor=1, config={"retention.ms": "1000"})
    answer(admin.create_topics([new], validate_only=True))
    check("a topic that was only validated", TOPIC in admin.list_topics(timeout=WAIT_SECONDS).topics, False)
    answer(admin.create_topics([new]))
    refused("the same topic", KafkaError.TOPIC_ALREADY_EXISTS, lambda: answer(admin.create_topics([new])))
    wrong = NewTopic("no/topic", num_partitions=1)
    refused("an invalid name", KafkaError.TOPIC_EXCEPTION, lambda: answer(admin.create_topics([wrong])))
    none = NewTopic("none", num_partitions=0)
    refused("no partitions", KafkaError.INVALID_PARTITIONS, lambda: answer(admin.create_topics([none])))
    odd = NewTopic("odd", num_partitions=1, config={"retention.ms": "long"})
    refused("a wrong setting", KafkaError.INVALID_CONFIG, lambda: answer(admin.create_topics([odd])))
    answer(admin.create_partitions([NewPartitions(TOPIC, 3)]))
    fewer = [NewPartitions(TOPIC, 1)]
    refused("fewer partitions", KafkaError.INVALID_PARTITIONS, lambda: answer(admin.create_partitions(fewer)))
    metadata = admin.list_topics(timeout=WAIT_SECONDS)
    check("partitions", sorted(metadata.topics[TOPIC].partitions), [0, 1, 2])
    brokers = sorted(metadata.brokers)
    for partition in metadata.topics[TOPIC].partitions.values():
        check("a leader", partition.leader in brokers, True)
        check("replicas", (partition.replicas, partition.isrs), ([partition.leader], [partition.leader]))
    cluster = admin.describe_cluster().result(WAIT_SECONDS)
    check("brokers", sorted(node.id for node in cluster.nodes), brokers)
    check("a cluster id", cluster.cluster_id, metadata.cluster_id)
    check("a controller", cluster.controller.id in brokers, True)


def configs(admin):
    """Settings are told and changed."""
    topic = ConfigResource(ResourceType.TOPIC, TOPIC)
    check("a setting", answer(admin.describe_configs([topic]))["retention.ms"].value, "1000")
    change = [ConfigEntry("retention.ms", "2000", incremental_operation=AlterConfigOpType.SET)]
    answer(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=change)]))
    check("a changed setting", answer(admin.describe_configs([topic]))["retention.ms"].value, "2000")
    change = [ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)]
    answer(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=change)]))
    entry = answer(admin.describe_configs([topic]))["retention.ms"]
    check("a default", (entry.value, entry.is_default), ("604800000", True))
    absent = ConfigResource(ResourceType.TOPIC, "absent")
    code = KafkaError.UNKNOWN_TOPIC_OR_PART
    refused("settings of no topic", code, lambda: answer(admin.describe_configs([absent])))


def offsets(broker, admin):
    """Watermarks, offsets for times, and deletion of records."""
    producer = Producer({"bootstrap.servers": broker})
    for number in range(10):
        producer.produce(TOPIC, value=b"%d" % number, partition=1, timestamp=1_000_000 + number * 1000)
    check("records unanswered", producer.flush(WAIT_SECONDS), 0)
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "admin", "enable.auto.commit": False})
    partition = TopicPartition(TOPIC, 1)
    check("watermarks", consumer.get_watermark_offsets(partition, WAIT_SECONDS), (0, 10))
    empty = TopicPartition(TOPIC, 0)
    check("watermarks of nothing", consumer.get_watermark_offsets(empty, WAIT_SECONDS), (0, 0))
    for time, expect in [(0, 0), (1_000_000, 0), (1_003_000, 3), (1_003_001, 4), (1_009_000, 9), (1_009_001, -1)]:
        (found,) = consumer.offsets_for_times([TopicPartition(TOPIC, 1, time)], WAIT_SECONDS)
        check(f"the offset for time {time}", found.offset, expect)
    for spec, expect in [(OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 10), (OffsetSpec.max_timestamp(), 9),
                         (OffsetSpec.for_timestamp(1_004_500), 5)]:
        listed = admin.list_offsets({partition: spec}, isolation_level=IsolationLevel.READ_COMMITTED)
        check(f"the offset for {spec!r}", answer(listed).offset, expect)
    deleted = answer(admin.delete_records([TopicPartition(TOPIC, 1, 4)]))
    check("the log start after deletion", deleted.low_watermark, 4)
    check("watermarks after deletion", consumer.get_watermark_offsets(partition, WAIT_SECONDS), (4, 10))
    beyond = [TopicPartition(TOPIC, 1, 11)]
    refused("deletion of what is not there", KafkaError.OFFSET_OUT_OF_RANGE,
            lambda: answer(admin.delete_records(beyond)))
    consumer.assign([TopicPartition(TOPIC, 1, 4)])
    read = consumer.consume(6, WAIT_SECONDS)
    check("what is left", [message.value() for message in read], [b"%d" % number for number in range(4, 10)])
    consumer.close()


def deletion(admin):
    """A topic that is deleted is gone."""
    answer(admin.delete_topics([TOPIC]))
    check("a deleted topic", TOPIC in admin.list_topics(timeout=WAIT_SECONDS).topics, False)
    refused("deletion of no topic", KafkaError.UNKNOWN_TOPIC_OR_PART,
            lambda: answer(admin.delete_topics([TOPIC])))


def main():
    """Runs all checks."""
    broker = sys.argv[1]
    admin = AdminClient({"bootstrap.servers": broker})
    topics(admin)
    configs(admin)
    offsets(broker, admin)
    deletion(admin)


if __name__ == "__main__":
    main()
