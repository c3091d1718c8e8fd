"""Makes source_table in PostgreSQL and target_table in ClickHouse."""

from pathlib import Path

from config import connect_clickhouse, connect_postgres

with connect_postgres() as pg, pg.cursor() as cursor:
    cursor.execute(Path(__file__).with_name("source.sql").read_text())
connect_clickhouse().command(Path(__file__).with_name("target.sql").read_text())
