"""The polling loop: new rows of source_table go to ClickHouse, once a second."""

import time

from config import CH_TABLE, COLUMNS, connect_clickhouse, connect_postgres

pg = connect_postgres()
pg.autocommit = True
ch = connect_clickhouse()
last_id = ch.command(f"select max(id) from {CH_TABLE}")

while True:
    with pg.cursor() as cursor:
        cursor.execute("select id, name, value from source_table where id > %s order by id limit 1000", (last_id,))
        rows = cursor.fetchall()
    if not rows:
        time.sleep(1)
        continue
    ch.insert(CH_TABLE, rows, column_names=COLUMNS)
    last_id = rows[-1][0]
    print(f"{len(rows)} rows, last_id = {last_id}", flush=True)
