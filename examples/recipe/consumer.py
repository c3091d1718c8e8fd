"""Kafka -> ClickHouse: collects messages, and inserts them when there are enough or when it has waited long enough."""

import json
import time

from confluent_kafka import Consumer

from config import CH_TABLE, COLUMNS, KAFKA_TOPIC, connect_clickhouse, env, kafka_settings

BATCH = 1000
WAIT_S = 1

ch = connect_clickhouse()
consumer = Consumer({
    **kafka_settings(),
    "group.id": env.get("KAFKA_GROUP", "recipe"),
    "auto.offset.reset": "earliest",
})
consumer.subscribe([KAFKA_TOPIC])
batch, since = [], time.time()

while True:
    message = consumer.poll(0.2)
    if message is not None and not message.error():
        row = json.loads(message.value())
        batch.append([row[column] for column in COLUMNS])
    if batch and (len(batch) >= BATCH or time.time() - since > WAIT_S):
        ch.insert(CH_TABLE, batch, column_names=COLUMNS)
        print(f"{len(batch)} rows", flush=True)
        batch = []
    if not batch:
        since = time.time()
