#!/usr/bin/env python3
"""Produces orders as Confluent's serializers write them, and asks the typed columns of the archive for them.

`serializers.py produce BROKER` produces to the topics orders-avro and orders-protobuf, with schema ids from a registry in
memory. `serializers.py schema avro|protobuf` prints the schema of the values. `serializers.py ask CATALOG` prints, for each
topic, the sums that DuckDB finds in its table, as one JSON object a line.
"""

import json
import sys

ORDERS = 1000
AVRO = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "paid", "type": "boolean"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Line",
                    "fields": [{"name": "sku", "type": "string"}, {"name": "count", "type": "int"}],
                },
            },
        },
    ],
}
PROTOBUF = """\
syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Header {
  string source = 1;
}
message Order {
  message Line {
    string sku = 1;
    int32 count = 2;
  }
  int64 id = 1;
  bool paid = 2;
  google.protobuf.Timestamp at = 3;
  repeated Line lines = 4;
}
"""


def order(number):
    """The order of this number, as a dictionary."""
    lines = [{"sku": f"sku-{place}", "count": place} for place in range(number % 4)]
    return {"id": number, "paid": number % 2 == 0, "at": 1_760_000_000_000 + number, "lines": lines}


def order_class():
    """The class of Protobuf messages, from a descriptor that says what PROTOBUF says."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", syntax="proto3")
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    file.message_type.add(name="Header").field.add(
        name="source", number=1, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL
    )
    message = file.message_type.add(name="Order")
    line = message.nested_type.add(name="Line")
    fields = [
        (line, "sku", 1, {"type": kind.TYPE_STRING}),
        (line, "count", 2, {"type": kind.TYPE_INT32}),
        (message, "id", 1, {"type": kind.TYPE_INT64}),
        (message, "paid", 2, {"type": kind.TYPE_BOOL}),
        (message, "at", 3, {"type": kind.TYPE_MESSAGE, "type_name": ".google.protobuf.Timestamp"}),
        (message, "lines", 4, {"type": kind.TYPE_MESSAGE, "type_name": ".Order.Line"}),
    ]
    for holder, name, number, more in fields:
        label = kind.LABEL_REPEATED if name == "lines" else kind.LABEL_OPTIONAL
        holder.field.add(name=name, number=number, label=label, **more)
    descriptor_pool.Default().Add(file)
    found = descriptor_pool.Default().FindMessageTypeByName("Order")
    return message_factory.GetMessageClass(found)


def produce(broker):
    """Produces all orders to both topics."""
    from confluent_kafka import Producer
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    registry = SchemaRegistryClient.new_client({"url": "mock://registry"})
    message = order_class()
    by_avro = AvroSerializer(registry, json.dumps(AVRO))
    by_protobuf = ProtobufSerializer(message, registry, {"use.deprecated.format": False})

    def as_message(order):
        made = message(id=order["id"], paid=order["paid"], lines=order["lines"])
        made.at.FromMilliseconds(order["at"])
        return made

    producer = Producer({"bootstrap.servers": broker, "acks": "all"})
    errors = []
    for number in range(ORDERS):
        made = order(number)
        values = {"orders-avro": (by_avro, made), "orders-protobuf": (by_protobuf, as_message(made))}
        for topic, (serializer, value) in values.items():
            value = serializer(value, SerializationContext(topic, MessageField.VALUE))
            on_delivery = lambda error, _: errors.append(str(error)) if error else None
            producer.produce(topic, value=value, on_delivery=on_delivery)
        producer.poll(0)
    left = producer.flush(60)
    if left or errors:
        sys.exit(f"serializers.py: {left} records unanswered, errors: {errors[:3]}")


def ask(address):
    """Prints what DuckDB finds."""
    from catalog import lake

    connection = lake(address)
    for topic in ("orders-avro", "orders-protobuf"):
        table = f'lake.kafka."{topic}"'
        sums = "count(v), count(value_error), sum(v.id), count_if(v.paid), epoch_ms(max(v.at))"
        found = connection.sql(f"select {sums} from {table}").fetchone()
        lines = f"select unnest(v.lines) as line from {table}"
        counts = connection.sql(f"select count(*), sum(line.count) from ({lines})").fetchone()
        print(json.dumps({"topic": topic, "found": [int(value) for value in found + counts]}))


def main():
    """Does what the command line says."""
    match sys.argv[1:]:
        case ["produce", broker]:
            produce(broker)
        case ["schema", "avro"]:
            print(json.dumps(AVRO))
        case ["schema", "protobuf"]:
            print(PROTOBUF)
        case ["ask", address]:
            ask(address)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
