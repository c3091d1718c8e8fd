"""How librdkafka reaches Kafka, from the settings that pg2click reads too (docs/07-settings.md)."""

import os


def kafka_settings():
    env = os.environ
    settings = {"bootstrap.servers": env["KAFKA_BOOTSTRAP"]}
    tls = env.get("KAFKA_TLS") == "true"
    if "KAFKA_TLS_CA" in env:
        settings["ssl.ca.location"] = env["KAFKA_TLS_CA"]
    if "KAFKA_SASL_USERNAME" in env:
        settings["sasl.mechanism"] = env["KAFKA_SASL_MECHANISM"].upper()
        settings["sasl.username"] = env["KAFKA_SASL_USERNAME"]
        settings["sasl.password"] = env["KAFKA_SASL_PASSWORD"]
    protocols = {(False, False): "plaintext", (True, False): "ssl", (False, True): "sasl_plaintext", (True, True): "sasl_ssl"}
    settings["security.protocol"] = protocols[tls, "sasl.username" in settings]
    return settings
