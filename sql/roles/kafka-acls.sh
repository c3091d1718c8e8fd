#!/bin/sh
# The rights of pg2click in Kafka, with no more than it needs. Run once, with Kafka's own kafka-acls.sh on the PATH, by who
# may alter the cluster; harmless to run again:
#
#   BOOTSTRAP=kafka-1:9092 ADMIN_CONFIG=admin.properties sh kafka-acls.sh
#
# PRINCIPAL     whom pg2click logs in as
# TOPIC_PREFIX  how the names of its topics begin: PG2CLICK_PIPELINE and a dot. For KAFKA_TOPIC, for topics that are
#               chosen with --topic and for PG2CLICK_WAL_MESSAGES_TOPIC, run this again with TOPIC_PREFIX set to their names.
# GROUP         KAFKA_GROUP
set -eu

acl() {
  kafka-acls.sh --bootstrap-server "${BOOTSTRAP:?}" ${ADMIN_CONFIG:+--command-config "$ADMIN_CONFIG"} \
    --add --allow-principal "${PRINCIPAL:-User:pg2click}" "$@"
}

# Create and DescribeConfigs when a table is added, Write to publish, Read to load. Write brings the right to be an idempotent
# producer (since Kafka 3.0), and either brings Describe.
acl --operation Create --operation DescribeConfigs --operation Write --operation Read \
  --resource-pattern-type prefixed --topic "${TOPIC_PREFIX:-default.}"

# To show the loaded offsets to lag tools; rows flow without it.
acl --operation Read --group "${GROUP:-pg2click}"

# For tables that are loaded by the Kafka engine of ClickHouse, which logs in as the same user: its groups, one a table. pg2click sets
# where each begins and reads how far it is.
acl --operation Read --resource-pattern-type prefixed --group pg2click-
