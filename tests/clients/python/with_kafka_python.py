"""kafka-python, in the contract of tests/clients/README.md."""

import contract
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    GroupIdNotFoundError,
    InvalidTopicError,
    KafkaTimeoutError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndMetadata

POLL_MS = 200


def produce(options):
    """Writes the lines with each codec."""
    lines, sent = contract.lines(), []
    for codec in options.codecs:
        producer = KafkaProducer(bootstrap_servers=options.bootstrap, acks="all", linger_ms=20,
                                 compression_type=None if codec == "none" else codec)
        sent += [producer.send(options.topic, key=key, value=value) for key, value in lines]
        producer.close()
    for answer in sent:
        answer.get(60)
    contract.step("produced", count=len(sent))


def read(options):
    """Reads all partitions without a group."""
    consumer = KafkaConsumer(bootstrap_servers=options.bootstrap, auto_offset_reset="earliest")
    partitions = [TopicPartition(options.topic, index) for index in consumer.partitions_for_topic(options.topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    left = options.count
    while left > 0:
        for records in consumer.poll(POLL_MS).values():
            for record in records:
                contract.record(record.partition, record.offset, record.key, record.value)
            left -= len(records)
    consumer.close()


class Member:
    """A member of a group: it commits exactly what it has printed, before it polls again, since that may rebalance."""

    def __init__(self, options):
        self.consumer = KafkaConsumer(
            bootstrap_servers=options.bootstrap, group_id=options.group, auto_offset_reset="earliest",
            enable_auto_commit=False, heartbeat_interval_ms=300, metadata_max_age_ms=500 if options.pattern else 300_000)
        self.positions = {}
        if options.pattern:
            self.consumer.subscribe(pattern=options.pattern)
        else:
            self.consumer.subscribe([options.topic])

    def run(self, count, end):
        """Reads `count` records, or until the end is set."""
        told, left = set(), count
        while left > 0 and not end.is_set():
            for records in self.consumer.poll(POLL_MS, max_records=min(left, 500)).values():
                left -= len(records)
                for record in records:
                    contract.record(record.partition, record.offset, record.key, record.value)
                    at = TopicPartition(record.topic, record.partition)
                    self.positions[at] = OffsetAndMetadata(record.offset + 1, "", -1)
            self.commit()
            if (now := self.consumer.assignment()) != told:
                told = set(now)
                contract.step("assigned", partitions=sorted(partition.partition for partition in told))
        self.consumer.close(autocommit=False)

    def commit(self):
        """Commits what was printed."""
        if self.positions:
            self.consumer.commit(self.positions)
        self.positions = {}


def alone(options, **more):
    """A consumer without a group, which has the one partition of the topic."""
    consumer, partition = KafkaConsumer(bootstrap_servers=options.bootstrap, **more), TopicPartition(options.topic, 0)
    consumer.assign([partition])
    return consumer, partition


def first(consumer):
    """The next record."""
    while not (polled := consumer.poll(POLL_MS, max_records=1)):
        pass
    return next(iter(polled.values()))[0]


def times(options):
    """Offsets for times, the time at which a record was appended, and how long a fetch waits at the end."""
    consumer, partition = alone(options, fetch_max_wait_ms=contract.WAIT_MS)
    for time_ms, expected in contract.OFFSETS.items():
        at = consumer.offsets_for_times({partition: time_ms})[partition]
        if (at and at.offset) != expected:
            raise AssertionError(f"the offset for the time {time_ms}: got {at}, expected {expected}")
    contract.step("offsets-for-times")
    producer = KafkaProducer(bootstrap_servers=options.bootstrap)
    sent = producer.send(options.stamped, b"value", b"key", partition=0, timestamp_ms=contract.OWN_TIME)
    contract.stamped("answered", sent.get(60).timestamp)
    producer.close()
    consumer.seek_to_end(partition)
    fetched = {"fetch-latency-avg": 0}
    while not fetched["fetch-latency-avg"] > 0:
        consumer.poll(POLL_MS)
        fetched = consumer.metrics()["consumer-fetch-manager-metrics"]
    contract.check("waited", contract.WAIT_MS - 10 <= fetched["fetch-latency-avg"] < contract.WAIT_MS_MAX, True)
    options.topic = options.stamped
    reader, partition = alone(options)
    reader.seek_to_beginning(partition)
    record = first(reader)
    contract.check("append-time", record.timestamp_type, 1)
    contract.stamped("read", record.timestamp)
    reader.close()
    consumer.close()


def beyond(options):
    """Where it goes on when its offset is out of range."""
    for policy in ("earliest", "latest", "none"):
        consumer, partition = alone(options, auto_offset_reset=policy)
        consumer.seek(partition, contract.BEYOND)
        try:
            record = first(consumer)
            contract.record(record.partition, record.offset, record.key, record.value)
        except OffsetOutOfRangeError:
            contract.step("out-of-range")
        consumer.close()


def absent(options):
    """A topic that is not there is written to."""
    producer = KafkaProducer(bootstrap_servers=options.bootstrap, max_block_ms=options.wait)
    try:
        producer.send(options.topic, b"value", b"key").get(60)
        contract.step("created")
    except (KafkaTimeoutError, UnknownTopicOrPartitionError):
        contract.step("unknown-topic")
    producer.close()


def topics(options):
    """Topics come, change and go."""
    admin, topic = KafkaAdminClient(bootstrap_servers=options.bootstrap), options.topic
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)

    def retention():
        described = admin.describe_configs([resource], config_filter="all")
        return described["topic"][topic]["retention.ms"]["value"]

    def alter(change):
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": change})])

    admin.create_topics({topic: {"num_partitions": 3, "replication_factor": 1, "configs": {"retention.ms": "1000"}}})
    contract.step("created")
    contract.check("listed", topic in admin.list_topics(), True)
    contract.check("described", len(admin.describe_topics([topic])[0]["partitions"]), 3)
    contract.check("settings", retention(), "1000")
    alter("2000")
    contract.check("changed", retention(), "2000")
    alter(("delete", None))
    contract.check("default", retention(), "604800000")
    admin.create_partitions({topic: 4})
    contract.check("grown", len(admin.describe_topics([topic])[0]["partitions"]), 4)
    first = TopicPartition(topic, 0)
    contract.check("offsets", admin.list_partition_offsets({first: -1})[first].offset, 0)
    admin.delete_records({first: 0})
    contract.step("records-deleted")
    contract.check("cluster", len(admin.describe_cluster()["brokers"]) > 0, True)
    admin.delete_topics([topic])
    contract.check("deleted", topic in admin.list_topics(), False)


def groups(options):
    """A group without members is described and deleted."""
    admin, group = KafkaAdminClient(bootstrap_servers=options.bootstrap), options.group
    contract.check("group-listed", group in [listed["group_id"] for listed in admin.list_groups()], True)
    contract.check("group-described", admin.describe_groups([group])[group]["group_state"], "Empty")

    def committed():
        return sum(at.offset for at in admin.list_group_offsets({group: None})[group].values() if at.offset >= 0)

    contract.check("group-offsets", committed(), options.count)
    admin.delete_group_offsets(group, [TopicPartition(options.topic, 0)])
    contract.check("group-offset-deleted", committed() < options.count, True)
    admin.delete_groups([group])
    again = admin.delete_groups([group])
    contract.check("group-deleted", GroupIdNotFoundError.__name__ in repr(again), True)


def refusals(options):
    """What must be refused."""
    admin = KafkaAdminClient(bootstrap_servers=options.bootstrap)
    contract.refused("unknown-topic", lambda error: isinstance(error, UnknownTopicOrPartitionError),
                     lambda: admin.delete_topics([options.topic]))
    contract.refused("invalid-topic", lambda error: isinstance(error, InvalidTopicError),
                     lambda: admin.create_topics({"no/topic": {"num_partitions": 1, "replication_factor": 1}}))


def main():
    """Plays the scenario of the command line."""
    options = contract.options()
    if options.scenario in ("consume", "follow"):
        end = contract.end_of_input() if options.scenario == "follow" else contract.never()
        Member(options).run(options.count or 1 << 30, end)
    else:
        scenarios = (produce, read, times, beyond, absent, topics, groups, refusals)
        {scenario.__name__: scenario for scenario in scenarios}[options.scenario](options)


if __name__ == "__main__":
    main()
