"""Pulsar's Python client, for tests: publishes what a test asks for, and prints what it reads."""

import base64
import hashlib
import hmac
import json
import random
import sys
import time
import zlib

import pulsar
import pulsar.schema

COMPRESSIONS = {
    "none": pulsar.CompressionType.NONE,
    "lz4": pulsar.CompressionType.LZ4,
    "zlib": pulsar.CompressionType.ZLib,
    "zstd": pulsar.CompressionType.ZSTD,
    "snappy": pulsar.CompressionType.SNAPPY,
}


def pattern(number, size):
    """Bytes that depend on a number and repeat after 251."""
    part = bytes((number + at) % 251 for at in range(251))
    return (part * (size // 251 + 1))[:size]


def publish_kinds(client, topic):
    """Batches and single messages of every compression, and messages in chunks; prints number and size of each."""
    number = 0
    failures = []

    def sent(result, _):
        if result != pulsar.Result.Ok:
            failures.append(result)

    def send(producer, size):
        nonlocal number
        producer.send_async(
            pattern(number, size),
            sent,
            partition_key=f"key {number % 5}",
            properties={"number": str(number)},
            event_timestamp=1_700_000_000_000 + number,
        )
        print(json.dumps({"number": number, "size": size}))
        number += 1

    for name, compression in COMPRESSIONS.items():
        batches = client.create_producer(
            topic, compression_type=compression, batching_enabled=True, batching_max_publish_delay_ms=1000
        )
        for size in [0, 1, 100, 5000] * 3:
            send(batches, size)
        batches.flush()
        batches.close()
        single = client.create_producer(topic, compression_type=compression, batching_enabled=False)
        for size in [1, 3000]:
            send(single, size)
        single.flush()
        single.close()
    # A payload that does not repeat would be better, but chunks are cut after compression.
    for compression in ["none", "snappy"]:
        chunks = client.create_producer(
            topic, compression_type=COMPRESSIONS[compression], batching_enabled=False, chunking_enabled=True,
        )
        send(chunks, 12_000_000)
        chunks.flush()
        send(chunks, 10)
        chunks.flush()
        chunks.close()
    assert not failures, failures


def print_sum(partition, number, key, payload):
    """Prints a message as JavaBoth does."""
    print("sum", partition, number, key, len(payload), zlib.crc32(payload))


def publish_keys(client, topic):
    """Messages of every compression on the partitions of their keys, in batches, alone and in chunks; prints each with its
    partition, which this client chooses by another hash than others do."""
    number = 0
    # Bytes that no compression makes smaller.
    large = random.Random(7).randbytes(12_000_000)
    for name, compression in COMPRESSIONS.items():
        for batches in [True, False]:
            kind = {"batching_enabled": True, "batching_max_publish_delay_ms": 1000}
            producer = client.create_producer(
                topic,
                compression_type=compression,
                **(kind if batches else {"batching_enabled": False, "chunking_enabled": True}),
            )
            sent = {}
            for at in range(12):
                is_large = not batches and at == 6 and name in ["none", "zstd"]
                payload = large if is_large else (f"message {number}" * (at * at)).encode()
                key = f"key {number % 9}"
                producer.send_async(
                    payload,
                    lambda result, id, message=(number, key, payload): sent.update({message: (result, id)}),
                    partition_key=key,
                    properties={"number": str(number)},
                )
                number += 1
            producer.flush()
            producer.close()
            assert len(sent) == 12, sent
            for message, (result, id) in sorted(sent.items()):
                assert result == pulsar.Result.Ok, result
                print_sum(id.partition(), *message)


def read_keys(client, topic, *counts):
    """Prints the messages of each partition."""
    for partition, count in enumerate(counts):
        reader = client.create_reader(f"{topic}-partition-{partition}", pulsar.MessageId.earliest)
        for _ in range(int(count)):
            message = reader.read_next(120_000)
            print_sum(partition, message.properties()["number"], message.partition_key(), message.data())
        assert not reader.has_message_available(), "there are more messages"


class Place(pulsar.schema.Record):
    """A record within another."""

    latitude = pulsar.schema.Double()


class Typed(pulsar.schema.Record):
    """What producers with a schema write."""

    id = pulsar.schema.Long(required=True)
    text = pulsar.schema.String()
    score = pulsar.schema.Double()
    tags = pulsar.schema.Array(pulsar.schema.String())
    counts = pulsar.schema.Map(pulsar.schema.Integer())
    place = Place()
    good = pulsar.schema.Boolean()


def publish_records(client, json_topic, avro_topic):
    """The same records in JSON and in Avro, alone and in batches."""
    kinds = [(json_topic, pulsar.schema.JsonSchema(Typed)), (avro_topic, pulsar.schema.AvroSchema(Typed))]
    for topic, schema in kinds:
        for ids, batches in [(range(10), False), (range(10, 20), True)]:
            producer = client.create_producer(topic, schema=schema, batching_enabled=batches)
            for id in ids:
                text = f"gr\u00fc\u00df {id}" if id % 2 == 0 else None
                producer.send_async(
                    Typed(
                        id=id, text=text, score=id / 4, tags=["a", f"b{id}"], counts={"k": id},
                        place=Place(latitude=1.5), good=id == 3,
                    ),
                    lambda result, _: None,
                )
            producer.flush()
            producer.close()


def read(client, topic, count):
    """Prints the messages of a topic."""
    reader = client.create_reader(topic, pulsar.MessageId.earliest)
    for _ in range(int(count)):
        message = reader.read_next(60_000)
        print(json.dumps({
            "payload": message.data().decode(),
            "key": message.partition_key(),
            "properties": message.properties(),
            "event_time": message.event_timestamp(),
            "publish_time": message.publish_timestamp(),
            "producer": message.producer_name(),
        }))
    assert not reader.has_message_available(), "there are more messages"


def read_sums(client, topic, count):
    """Prints the number, size and checksum of the messages of a topic, which may be large."""
    reader = client.create_reader(topic, pulsar.MessageId.earliest)
    for _ in range(int(count)):
        message = reader.read_next(120_000)
        number = message.properties()["number"]
        print(number, message.partition_key(), len(message.data()), hashlib.sha256(message.data()).hexdigest())
    assert not reader.has_message_available(), "there are more messages"


class Row(pulsar.schema.Record):
    """The columns of an output, as a reader declares them."""

    id = pulsar.schema.Long()
    at = pulsar.schema.String()
    score = pulsar.schema.Double()
    tags = pulsar.schema.Array(pulsar.schema.Integer())


def read_typed(client, topic, count):
    """Prints the messages of a topic as a consumer with a schema gets them."""
    # The client takes a number that is no number as text.
    consumer = client.subscribe(
        topic, "typed", schema=pulsar.schema.JsonSchema(Row), initial_position=pulsar.InitialPosition.Earliest
    )
    for _ in range(int(count)):
        message = consumer.receive(60_000)
        row = json.loads(message.data())
        try:
            value = message.value()
            row = {name: getattr(value, name) for name in ["id", "at", "score", "tags"]}
        except TypeError:
            assert row["score"] == "NaN", row
        print(json.dumps(row))


def token(secret, role, seconds):
    """A token that is signed as the broker expects it."""

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"sub": role, "exp": int(time.time()) + int(seconds)}
    signed = part(b'{"alg":"HS256"}') + b"." + part(json.dumps(claims).encode())
    signature = hmac.new(base64.b64decode(secret), signed, hashlib.sha256).digest()
    print((signed + b"." + part(signature)).decode())


def main():
    what, *rest = sys.argv[1:]
    if what == "token":
        token(*rest)
        return
    url, *rest = rest
    client = pulsar.Client(url, logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, "/dev/null"))
    commands = {
        "publish-kinds": publish_kinds,
        "publish-keys": publish_keys,
        "publish-records": publish_records,
        "read": read,
        "read-keys": read_keys,
        "read-sums": read_sums,
        "read-typed": read_typed,
    }
    commands[what](client, *rest)
    client.close()


main()
