"""The LISTEN/NOTIFY loop: a notification on new_data names the row to copy."""

import select

from config import CH_TABLE, COLUMNS, connect_clickhouse, connect_postgres

pg = connect_postgres()
pg.autocommit = True
ch = connect_clickhouse()
cursor = pg.cursor()
cursor.execute("listen new_data")
print("listening", flush=True)

while True:
    if not select.select([pg], [], [], 5)[0]:
        continue
    pg.poll()
    while pg.notifies:
        row_id = pg.notifies.pop(0).payload
        cursor.execute("select id, name, value from source_table where id = %s", (row_id,))
        ch.insert(CH_TABLE, cursor.fetchall(), column_names=COLUMNS)
