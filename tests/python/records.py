#!/usr/bin/env python3
"""Writes and reads records with confluent-kafka, as JSON lines.

`records.py BROKER TOPIC write [SETTING=VALUE ...]` writes the records that stand on
standard input; `records.py BROKER TOPIC read` prints all that the topic holds. A record is
an object with partition, key, value, headers and timestamp, and when read also offset.
Bytes are strings with one character of U+0000 to U+00FF for each byte.
"""

import json
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

WAIT_SECONDS = 60


def to_bytes(text):
    """The bytes of a field, or None."""
    return None if text is None else text.encode("latin-1")


def to_text(data):
    """A field for JSON, or None."""
    return None if data is None else data.decode("latin-1")


def write(broker, topic, settings):
    """Writes the records of standard input and waits until all are acknowledged."""
    errors = []
    producer = Producer({"bootstrap.servers": broker, "acks": "all", "enable.idempotence": True} | settings)
    for line in sys.stdin:
        record = json.loads(line)
        producer.produce(
            topic,
            value=to_bytes(record["value"]),
            key=to_bytes(record["key"]),
            partition=record["partition"],
            timestamp=record["timestamp"],
            headers=[(name, to_bytes(value)) for name, value in record["headers"]],
            on_delivery=lambda error, _: errors.append(str(error)) if error else None,
        )
    left = producer.flush(WAIT_SECONDS)
    if left or errors:
        sys.exit(f"records.py: {left} records unanswered, errors: {errors[:3]}")


def read(broker, topic):
    """Prints the records of all partitions, each from its start to the end that it has now."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "records", "enable.auto.commit": False,
                         "check.crcs": True})
    partitions = consumer.list_topics(topic, WAIT_SECONDS).topics[topic].partitions
    for partition in sorted(partitions):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), WAIT_SECONDS)
        if low < high:
            consumer.assign([TopicPartition(topic, partition, low)])
            read_partition(consumer, high)
    consumer.close()


def read_partition(consumer, end):
    """Prints the records of the assigned partition up to `end`."""
    position = 0
    while position < end:
        messages = consumer.consume(10_000, 1.0)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            record = {
                "partition": message.partition(),
                "offset": message.offset(),
                "key": to_text(message.key()),
                "value": to_text(message.value()),
                "headers": [[name, to_text(value)] for name, value in message.headers() or []],
                "timestamp": message.timestamp()[1],
            }
            print(json.dumps(record))
            position = message.offset() + 1


def main():
    """Does what the command line says."""
    broker, topic, what, *settings = sys.argv[1:]
    if what == "write":
        write(broker, topic, dict(setting.split("=", 1) for setting in settings))
    else:
        read(broker, topic)


if __name__ == "__main__":
    main()
