"""librdkafka by confluent-kafka, in the contract of tests/clients/README.md.

Its administration of topics is checked by tests/python/admin.py.
"""

import sys

import contract
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient, NewTopic

WAIT_SECONDS = 60
POLL_SECONDS = 0.2


def produce(options):
    """Writes the lines with each codec."""
    lines, count, errors = contract.lines(), 0, []
    for codec in options.codecs:
        producer = Producer({"bootstrap.servers": options.bootstrap, "enable.idempotence": True,
                             "compression.type": codec})
        for key, value in lines:
            producer.produce(options.topic, key=key, value=value,
                             on_delivery=lambda error, _: errors.append(str(error)) if error else None)
        count += len(lines) - producer.flush(WAIT_SECONDS)
    if errors:
        sys.exit(f"undelivered: {errors[:3]}")
    contract.step("produced", count=count)


def read(options):
    """Reads all partitions without a group."""
    consumer = Consumer({"bootstrap.servers": options.bootstrap, "group.id": "none", "enable.auto.commit": False})
    topic = consumer.list_topics(options.topic, WAIT_SECONDS).topics[options.topic]
    consumer.assign([TopicPartition(options.topic, index, 0) for index in topic.partitions])
    left = options.count
    while left > 0:
        for message in taken(consumer, left):
            contract.record(message.partition(), message.offset(), message.key(), message.value())
            left -= 1
    consumer.close()


def taken(consumer, max_messages):
    """The next messages."""
    messages = consumer.consume(min(max_messages, 500), POLL_SECONDS)
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
    return messages


class Member:
    """A member of a group: it commits exactly what it has printed."""

    def __init__(self, options):
        settings = {"bootstrap.servers": options.bootstrap, "group.id": options.group,
                    "auto.offset.reset": "earliest", "enable.auto.commit": False, "group.protocol": options.protocol}
        if options.protocol == "classic":
            settings |= {"heartbeat.interval.ms": 300, "session.timeout.ms": options.session,
                         "partition.assignment.strategy": options.assignor or "range,roundrobin"}
        if options.instance:
            settings |= {"group.instance.id": options.instance}
        self.consumer = Consumer(settings)
        self.positions = {}
        self.consumer.subscribe([options.topic], on_revoke=self.revoked, on_lost=self.lost)

    def run(self, count, end):
        """Reads `count` records, or until the end is set."""
        told, left = [], count
        while left > 0 and not end.is_set():
            for message in taken(self.consumer, left):
                left -= 1
                contract.record(message.partition(), message.offset(), message.key(), message.value())
                at = TopicPartition(message.topic(), message.partition(), message.offset() + 1)
                self.positions[message.partition()] = at
            now = sorted(partition.partition for partition in self.consumer.assignment())
            if now != told:
                told = now
                contract.step("assigned", partitions=now)
        self.commit()
        self.consumer.close()

    def commit(self):
        """Commits what was printed."""
        if self.positions:
            self.consumer.commit(offsets=list(self.positions.values()), asynchronous=False)
        self.positions = {}

    def revoked(self, _consumer, partitions):
        """Before partitions are taken away."""
        self.commit()
        contract.step("revoked", partitions=sorted(partition.partition for partition in partitions))

    def lost(self, _consumer, _partitions):
        """When partitions were taken away already: others go on from the last commit."""
        self.positions = {}


def answer(futures):
    """The one answer of a call that was made for one thing."""
    (future,) = futures.values()
    return future.result(WAIT_SECONDS)


def groups(options):
    """A group without members is described and deleted."""
    admin, group = AdminClient({"bootstrap.servers": options.bootstrap}), options.group
    listed = admin.list_consumer_groups().result(WAIT_SECONDS)
    contract.check("group-listed", group in [each.group_id for each in listed.valid], True)
    described = answer(admin.describe_consumer_groups([group]))
    contract.check("group-described", described.state, ConsumerGroupState.EMPTY)
    offsets = answer(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    committed = sum(at.offset for at in offsets.topic_partitions if at.offset >= 0)
    contract.check("group-offsets", committed, options.count)
    answer(admin.delete_consumer_groups([group]))
    contract.refused("group-deleted", lambda error: code(error) == KafkaError.GROUP_ID_NOT_FOUND,
                     lambda: answer(admin.delete_consumer_groups([group])))


def code(error):
    """Kafka's code of an error."""
    return error.args[0].code() if isinstance(error, KafkaException) else None


def refusals(options):
    """What must be refused."""
    admin = AdminClient({"bootstrap.servers": options.bootstrap})
    contract.refused("unknown-topic", lambda error: code(error) == KafkaError.UNKNOWN_TOPIC_OR_PART,
                     lambda: answer(admin.delete_topics([options.topic])))
    contract.refused("invalid-topic", lambda error: code(error) == KafkaError.TOPIC_EXCEPTION,
                     lambda: answer(admin.create_topics([NewTopic("no/topic", 1)])))


def main():
    """Plays the scenario of the command line."""
    options = contract.options()
    if options.scenario in ("consume", "follow"):
        end = contract.end_of_input() if options.scenario == "follow" else contract.never()
        Member(options).run(options.count or 1 << 30, end)
    else:
        {"produce": produce, "read": read, "groups": groups, "refusals": refusals}[options.scenario](options)


if __name__ == "__main__":
    main()
