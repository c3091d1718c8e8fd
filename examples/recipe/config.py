"""Connections of the recipe, from the environment: set -a; . ./.env; set +a"""

import os

import clickhouse_connect
import psycopg2

env = os.environ
CH_TABLE = env.get("CH_TABLE", "target_table")
KAFKA_TOPIC = env.get("KAFKA_TOPIC", "source_table")
COLUMNS = ["id", "name", "value"]


def connect_postgres():
    return psycopg2.connect(
        host=env["PG_HOST"],
        port=env["PG_PORT"],
        dbname=env["PG_DB"],
        user=env["PG_USER"],
        password=env.get("PG_PASSWORD", ""),
        sslmode=env.get("PG_SSLMODE"),
        sslrootcert=env.get("PG_SSLROOTCERT"),
    )


def connect_clickhouse():
    return clickhouse_connect.get_client(
        host=env["CH_HOST"],
        port=int(env["CH_PORT"]),
        database=env["CH_DB"],
        username=env["CH_USER"],
        password=env.get("CH_PASSWORD", ""),
        secure=env.get("CH_TLS") == "true",
        ca_cert=env.get("CH_TLS_CA"),
    )


def kafka_settings():
    settings = {"bootstrap.servers": env["KAFKA_BOOTSTRAP"]}
    if env.get("KAFKA_TLS") == "true":
        settings["security.protocol"] = "sasl_ssl" if "KAFKA_SASL_USERNAME" in env else "ssl"
        settings["ssl.ca.location"] = env["KAFKA_TLS_CA"]
    if "KAFKA_SASL_USERNAME" in env:
        settings["sasl.mechanism"] = env["KAFKA_SASL_MECHANISM"].upper()
        settings["sasl.username"] = env["KAFKA_SASL_USERNAME"]
        settings["sasl.password"] = env["KAFKA_SASL_PASSWORD"]
    return settings
