"""Keeps the rows of a table that pg2click publishes (--format json), and prints them whenever it has caught up."""

import json
import os

from confluent_kafka import Consumer
from kafka_settings import kafka_settings

consumer = Consumer({
    **kafka_settings(),
    "group.id": os.environ.get("KAFKA_GROUP", "example"),
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,  # the state is in memory: a restart reads the topic again
})
consumer.subscribe([os.environ["KAFKA_TOPIC"]])
rows, floor, changed = {}, 0, False

while True:
    message = consumer.poll(1.0)
    if message is None:  # nothing for a second
        if changed:
            live = [row for row in rows.values() if int(row["_version"]) > floor and not row["_deleted"]]
            print(json.dumps(live), flush=True)
        changed = False
        continue
    if message.error():
        raise SystemExit(message.error())
    value, key = json.loads(message.value()), message.key()
    version = int(value["_version"])  # 128 bits, so a string in JSON
    floor = max(floor, version >> 120 << 120)  # a new generation ends the rows of every older one
    if key is None:  # TRUNCATE: everything up to this version is gone
        floor = max(floor, version)
    elif version >= int(rows.get(key, {"_version": "0"})["_version"]):
        rows[key] = value  # a deleted row too: it must win against an older message that comes again
    changed = True
