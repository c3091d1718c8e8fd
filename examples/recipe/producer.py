"""events_table -> Kafka: sends what is not sent yet, and marks it."""

import json
import time

from confluent_kafka import Producer

from config import KAFKA_TOPIC, connect_postgres, kafka_settings

pg = connect_postgres()
producer = Producer(kafka_settings())

while True:
    with pg.cursor() as cursor:
        cursor.execute("select id, payload from events_table where not sent order by id limit 1000")
        events = cursor.fetchall()
        for _, payload in events:
            producer.produce(KAFKA_TOPIC, key=str(payload["id"]), value=json.dumps(payload))
        producer.flush()
        cursor.execute("update events_table set sent = true where id = any(%s)", ([event[0] for event in events],))
    pg.commit()
    if not events:
        time.sleep(0.5)
