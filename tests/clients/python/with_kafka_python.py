"""kafka-python, in the contract of tests/clients/README.md."""

import contract
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import GroupIdNotFoundError, InvalidTopicError, UnknownTopicOrPartitionError
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
            enable_auto_commit=False, heartbeat_interval_ms=300)
        self.positions = {}
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
        {"produce": produce, "read": read, "topics": topics, "groups": groups,
         "refusals": refusals}[options.scenario](options)


if __name__ == "__main__":
    main()
