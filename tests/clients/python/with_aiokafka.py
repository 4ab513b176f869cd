"""aiokafka, in the contract of tests/clients/README.md."""

import asyncio
import contextlib

import contract
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaTimeoutError, OffsetOutOfRangeError, UnknownTopicOrPartitionError

POLL_MS = 200
UNKNOWN_TOPIC, INVALID_TOPIC = 3, 17


async def produce(options):
    """Writes the lines with each codec."""
    lines, count = contract.lines(), 0
    for codec in options.codecs:
        producer = AIOKafkaProducer(bootstrap_servers=options.bootstrap, enable_idempotence=True, linger_ms=20,
                                    compression_type=None if codec == "none" else codec)
        async with producer:
            sent = [await producer.send(options.topic, key=key, value=value) for key, value in lines]
            count += len(await asyncio.gather(*sent))
    contract.step("produced", count=count)


async def read(options):
    """Reads all partitions without a group."""
    async with AIOKafkaConsumer(bootstrap_servers=options.bootstrap, auto_offset_reset="earliest") as consumer:
        # Metadata of the topic is asked for when it is subscribed to.
        consumer.subscribe([options.topic])
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=POLL_MS)
        await consumer.seek_to_beginning()
        left = options.count
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    contract.record(record.partition, record.offset, record.key, record.value)
                left -= len(records)


class Member(ConsumerRebalanceListener):
    """A member of a group: it commits exactly what it has printed."""

    def __init__(self, options):
        self.topic = options.topic
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=options.bootstrap, group_id=options.group, auto_offset_reset="earliest",
            enable_auto_commit=False, heartbeat_interval_ms=300, metadata_max_age_ms=500 if options.pattern else 300_000)
        self.pattern = options.pattern
        self.positions = {}

    async def run(self, count, end):
        """Reads `count` records, or until the end is set."""
        if self.pattern:
            self.consumer.subscribe(pattern=self.pattern, listener=self)
        else:
            self.consumer.subscribe([self.topic], listener=self)
        await self.consumer.start()
        left = count
        while left > 0 and not end.is_set():
            taken = await self.consumer.getmany(timeout_ms=POLL_MS, max_records=min(left, 500))
            for partition, records in taken.items():
                left -= len(records)
                for record in records:
                    contract.record(record.partition, record.offset, record.key, record.value)
                    self.positions[partition] = record.offset + 1
            if self.pattern:
                # Of a topic that is deleted nothing can be committed.
                await self.commit()
        await self.commit()
        await self.consumer.stop()

    async def commit(self):
        """Commits what was printed."""
        if self.positions:
            await self.consumer.commit(self.positions)
        self.positions = {}

    async def on_partitions_revoked(self, revoked):
        """Before partitions are taken away."""
        await self.commit()

    async def on_partitions_assigned(self, assigned):
        """All that it has now, since aiokafka takes all away first."""
        contract.step("assigned", partitions=sorted(partition.partition for partition in assigned))


@contextlib.asynccontextmanager
async def alone(options, topic, offset, **more):
    """A consumer without a group, which has the one partition of the topic."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=options.bootstrap, **more) as consumer:
        consumer.assign([partition])
        consumer.seek(partition, offset)
        yield consumer, partition


async def times(options):
    """Offsets for times, and the time at which a record was appended."""
    async with alone(options, options.topic, 0) as (consumer, partition):
        for time_ms, expected in contract.OFFSETS.items():
            at = (await consumer.offsets_for_times({partition: time_ms}))[partition]
            if (at and at.offset) != expected:
                raise AssertionError(f"the offset for the time {time_ms}: got {at}, expected {expected}")
    contract.step("offsets-for-times")
    async with AIOKafkaProducer(bootstrap_servers=options.bootstrap) as producer:
        sent = await producer.send_and_wait(options.stamped, b"value", b"key", partition=0,
                                            timestamp_ms=contract.OWN_TIME)
    contract.check("answered-append-time", sent.timestamp_type, 1)
    contract.stamped("answered", sent.timestamp)
    async with alone(options, options.stamped, 0) as (consumer, _):
        record = await consumer.getone()
    contract.check("append-time", record.timestamp_type, 1)
    contract.stamped("read", record.timestamp)


async def beyond(options):
    """Where it goes on when its offset is out of range."""
    for policy in ("earliest", "latest", "none"):
        async with alone(options, options.topic, contract.BEYOND, auto_offset_reset=policy) as (consumer, _):
            try:
                record = await consumer.getone()
                contract.record(record.partition, record.offset, record.key, record.value)
            except OffsetOutOfRangeError:
                contract.step("out-of-range")


async def absent(options):
    """A topic that is not there is written to."""
    async with AIOKafkaProducer(bootstrap_servers=options.bootstrap, request_timeout_ms=options.wait) as producer:
        try:
            await producer.send_and_wait(options.topic, b"value", b"key")
            contract.step("created")
        except (KafkaTimeoutError, UnknownTopicOrPartitionError):
            contract.step("unknown-topic")


@contextlib.asynccontextmanager
async def administrator(options):
    """An administrator that is closed at the end."""
    admin = AIOKafkaAdminClient(bootstrap_servers=options.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def topics(options):
    """Topics come, change and go."""
    topic = options.topic
    async with administrator(options) as admin:
        async def retention():
            answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            return {entry[0]: entry[1] for entry in answers[0].resources[0][4]}["retention.ms"]

        async def partitions():
            return len((await admin.describe_topics([topic]))[0]["partitions"])

        await admin.create_topics([NewTopic(topic, 3, 1, topic_configs={"retention.ms": "1000"})])
        contract.step("created")
        contract.check("listed", topic in await admin.list_topics(), True)
        contract.check("described", await partitions(), 3)
        contract.check("settings", await retention(), "1000")
        change = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "2000"})
        await admin.alter_configs([change])
        contract.check("changed", await retention(), "2000")
        await admin.create_partitions({topic: NewPartitions(4)})
        contract.check("grown", await partitions(), 4)
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(0)})
        contract.step("records-deleted")
        contract.check("cluster", len((await admin.describe_cluster())["brokers"]) > 0, True)
        await admin.delete_topics([topic])
        contract.check("deleted", topic in await admin.list_topics(), False)


async def groups(options):
    """A group without members is described."""
    group = options.group
    async with administrator(options) as admin:
        contract.check("group-listed", group in [listed[0] for listed in await admin.list_consumer_groups()], True)
        (described,) = await admin.describe_consumer_groups([group])
        contract.check("group-described", described.groups[0][2], "Empty")
        offsets = await admin.list_consumer_group_offsets(group)
        contract.check("group-offsets", sum(at.offset for at in offsets.values()), options.count)


async def refusals(options):
    """What must be refused."""
    async with administrator(options) as admin:
        deleted = await admin.delete_topics([options.topic])
        contract.check("unknown-topic", deleted.topic_error_codes[0][1], UNKNOWN_TOPIC)
        created = await admin.create_topics([NewTopic("no/topic", 1, 1)])
        contract.check("invalid-topic", created.topic_errors[0][1], INVALID_TOPIC)


async def main():
    """Plays the scenario of the command line."""
    options = contract.options()
    if options.scenario in ("consume", "follow"):
        end = contract.end_of_input() if options.scenario == "follow" else contract.never()
        await Member(options).run(options.count or 1 << 30, end)
    else:
        scenarios = (produce, read, times, beyond, absent, topics, groups, refusals)
        await {scenario.__name__: scenario for scenario in scenarios}[options.scenario](options)


if __name__ == "__main__":
    asyncio.run(main())
