"""librdkafka by confluent-kafka, in the contract of tests/clients/README.md.

Its administration of topics is checked by tests/python/admin.py.
"""

import sys
import time

import contract
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, KafkaException, Producer, TopicPartition
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


def taken(consumer, max_messages, passed_over=()):
    """The next messages, but for errors that are passed over."""
    messages = []
    for message in consumer.consume(min(max_messages, 500), POLL_SECONDS):
        if not message.error():
            messages.append(message)
        elif message.error().code() not in passed_over:
            raise KafkaException(message.error())
    return messages


class Member:
    """A member of a group: it commits exactly what it has printed."""

    def __init__(self, options):
        settings = {"bootstrap.servers": options.bootstrap, "group.id": options.group,
                    "auto.offset.reset": "earliest", "enable.auto.commit": False, "group.protocol": options.protocol,
                    # When all brokers that it knows have died it may hang for good.
                    "topic.metadata.refresh.interval.ms": 1000}
        if options.protocol == "classic":
            settings |= {"heartbeat.interval.ms": 300, "session.timeout.ms": options.session,
                         "partition.assignment.strategy": options.assignor or "range,roundrobin"}
        if options.stall:
            settings |= {"max.poll.interval.ms": max(6000, options.session)}
        if options.pattern:
            settings |= {"topic.metadata.refresh.interval.ms": 500}
        if options.instance:
            settings |= {"group.instance.id": options.instance}
        self.consumer = Consumer(settings)
        self.positions = {}
        self.stall, self.pattern = options.stall, options.pattern
        self.tolerant = bool(options.stall or options.pattern)
        self.consumer.subscribe([options.pattern or options.topic], on_revoke=self.revoked, on_lost=self.lost)

    def run(self, count, end):
        """Reads `count` records, or until the end is set."""
        told, left = [], count
        while left > 0 and not end.is_set():
            for message in self.take(left):
                left -= 1
                contract.record(message.partition(), message.offset(), message.key(), message.value())
                at = TopicPartition(message.topic(), message.partition(), message.offset() + 1)
                self.positions[message.topic(), message.partition()] = at
            if self.pattern:
                # Of a topic that is deleted nothing can be committed.
                self.commit()
            now = sorted(partition.partition for partition in self.consumer.assignment())
            if now != told:
                told = now
                contract.step("assigned", partitions=now)
        self.commit()
        self.consumer.close()

    def take(self, left):
        """The next messages. After the first ones, a member that stalls polls no more for its time."""
        # It tells of its own absence, and joins again by itself; and of topics that are deleted.
        passed_over = (KafkaError._MAX_POLL_EXCEEDED, KafkaError.UNKNOWN_TOPIC_OR_PART)
        messages = taken(self.consumer, left, passed_over if self.tolerant else ())
        if messages and self.stall:
            self.commit()
            time.sleep(self.stall / 1000)
            self.stall = 0
            # They are read again by whoever has the partitions now.
            return []
        return messages

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


def alone(options, **more):
    """A consumer without a group."""
    return Consumer({"bootstrap.servers": options.bootstrap, "group.id": "none", "enable.auto.commit": False} | more)


def first(consumer):
    """The next message."""
    while not (messages := taken(consumer, 1)):
        pass
    return messages[0]


def times(options):
    """Offsets for times, and the time at which a record was appended."""
    consumer = alone(options)
    for time_ms, expected in contract.OFFSETS.items():
        (at,) = consumer.offsets_for_times([TopicPartition(options.topic, 0, time_ms)], WAIT_SECONDS)
        # Its sign of no such offset is the end.
        if (at.offset if at.offset >= 0 else None) != expected:
            sys.exit(f"the offset for the time {time_ms}: got {at}, expected {expected}")
    contract.step("offsets-for-times")
    producer = Producer({"bootstrap.servers": options.bootstrap})
    producer.produce(options.stamped, "value", "key", 0, timestamp=contract.OWN_TIME,
                     on_delivery=lambda error, message: contract.stamped("answered", message.timestamp()[1]))
    producer.flush(WAIT_SECONDS)
    consumer.assign([TopicPartition(options.stamped, 0, 0)])
    kind, timestamp = first(consumer).timestamp()
    contract.check("append-time", kind, TIMESTAMP_LOG_APPEND_TIME)
    contract.stamped("read", timestamp)
    consumer.close()


def beyond(options):
    """Where it goes on when its offset is out of range."""
    for policy in ("earliest", "latest", "error"):
        consumer = alone(options, **{"auto.offset.reset": policy})
        consumer.assign([TopicPartition(options.topic, 0, contract.BEYOND)])
        try:
            message = first(consumer)
            contract.record(message.partition(), message.offset(), message.key(), message.value())
        except KafkaException as error:
            contract.check("out-of-range", code(error), KafkaError._AUTO_OFFSET_RESET)
        consumer.close()


def absent(options):
    """A topic that is not there is written to; a consumer that wants none created asks for another."""
    consumer = alone(options, **{"allow.auto.create.topics": False})
    consumer.subscribe([options.topic + "-unwanted"])
    contract.refused("not-created", lambda error: code(error) == KafkaError.UNKNOWN_TOPIC_OR_PART,
                     lambda: first(consumer))
    consumer.close()
    errors = []
    producer = Producer({"bootstrap.servers": options.bootstrap, "message.timeout.ms": options.wait,
                         "topic.metadata.propagation.max.ms": options.wait // 3})
    producer.produce(options.topic, "value", "key", on_delivery=lambda error, _: errors.append(error))
    producer.flush(WAIT_SECONDS)
    unknown = (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
    if errors[0] and errors[0].code() not in unknown:
        sys.exit(str(errors[0]))
    contract.step("unknown-topic" if errors[0] else "created")


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
        scenarios = (produce, read, times, beyond, absent, groups, refusals)
        {scenario.__name__: scenario for scenario in scenarios}[options.scenario](options)


if __name__ == "__main__":
    main()
