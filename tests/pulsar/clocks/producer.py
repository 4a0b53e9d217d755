"""A producer with Pulsar's Python client, whose clock may be another one: sends what it is told to line by line.

A line is a topic, the id of a row, and by how many milliseconds its event is older than the producer's clock says.
What is printed once a row is stored is its id.
"""

import json
import sys
import time

import pulsar

client = pulsar.Client(sys.argv[1], logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, "/dev/null"))
producers = {}
print("ready", flush=True)
for line in sys.stdin:
    topic, id, age = line.split()
    if topic not in producers:
        producers[topic] = client.create_producer(topic, batching_enabled=False, send_timeout_millis=0)
    row = {"id": int(id), "at_ms": int(time.time() * 1000) - int(age)}
    producers[topic].send(json.dumps(row).encode())
    print(id, flush=True)
client.close()
