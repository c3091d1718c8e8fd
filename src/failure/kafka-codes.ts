import type { FailureKind } from './kinds.js';

const CLOCK =
  'Set the clock of the worker right, or let the topic take its messages: message.timestamp.type=LogAppendTime, or longer ' +
  'message.timestamp.before.max.ms and message.timestamp.after.max.ms. Then resume the table.';
const BY_HAND =
  'Make the topic by hand with cleanup.policy=delete, as the cluster wants it, then resume the table: a topic that is there is used as it is.';

/**
 * Every error of Kafka's protocol that a user's world can give to our requests: its number, its kind, and a remedy where the kind's
 * own says too little. The names are those of kafkajs. Brokers send newer errors only to newer versions of requests than ours. What is not listed is a fault of ours, as INVALID_REQUEST, unless Kafka itself calls it retriable.
 */
export const KAFKA_CODES: Readonly<Record<string, readonly [number: number, kind: FailureKind, remedy?: string]>> = {
  // Something failed inside the broker, for example its memory.
  UNKNOWN: [-1, 'BrokerUnavailable'],
  // The topic is looked up again, which tells what is lost.
  OFFSET_OUT_OF_RANGE: [1, 'BrokerUnavailable'],
  CORRUPT_MESSAGE: [2, 'BrokerUnavailable'],
  // A broker that has just started does not know its topics yet. Before a table parks for it, the topic must be looked up again.
  UNKNOWN_TOPIC_OR_PARTITION: [3, 'BrokerUnavailable'],
  LEADER_NOT_AVAILABLE: [5, 'BrokerUnavailable'],
  NOT_LEADER_FOR_PARTITION: [6, 'BrokerUnavailable'],
  REQUEST_TIMED_OUT: [7, 'BrokerUnavailable'],
  BROKER_NOT_AVAILABLE: [8, 'BrokerUnavailable'],
  REPLICA_NOT_AVAILABLE: [9, 'BrokerUnavailable'],
  MESSAGE_TOO_LARGE: [10, 'MessageTooLarge'],
  STALE_CONTROLLER_EPOCH: [11, 'BrokerUnavailable'],
  NETWORK_EXCEPTION: [13, 'BrokerUnavailable'],
  GROUP_LOAD_IN_PROGRESS: [14, 'BrokerUnavailable'],
  GROUP_COORDINATOR_NOT_AVAILABLE: [15, 'BrokerUnavailable'],
  NOT_COORDINATOR_FOR_GROUP: [16, 'BrokerUnavailable'],
  INVALID_TOPIC_EXCEPTION: [17, 'Misconfigured'],
  RECORD_LIST_TOO_LARGE: [18, 'MessageTooLarge'],
  NOT_ENOUGH_REPLICAS: [19, 'BrokerUnavailable'],
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: [20, 'BrokerUnavailable'],
  ILLEGAL_GENERATION: [22, 'BrokerUnavailable'],
  INVALID_GROUP_ID: [24, 'Misconfigured'],
  UNKNOWN_MEMBER_ID: [25, 'BrokerUnavailable'],
  REBALANCE_IN_PROGRESS: [27, 'BrokerUnavailable'],
  TOPIC_AUTHORIZATION_FAILED: [29, 'Unauthorized'],
  GROUP_AUTHORIZATION_FAILED: [30, 'Unauthorized'],
  CLUSTER_AUTHORIZATION_FAILED: [31, 'Unauthorized'],
  INVALID_TIMESTAMP: [32, 'Misconfigured', CLOCK],
  UNSUPPORTED_SASL_MECHANISM: [33, 'Misconfigured'],
  ILLEGAL_SASL_STATE: [34, 'BrokerUnavailable'],
  UNSUPPORTED_VERSION: [35, 'Misconfigured'],
  TOPIC_ALREADY_EXISTS: [36, 'BrokerUnavailable'],
  INVALID_PARTITIONS: [37, 'Misconfigured', BY_HAND],
  INVALID_REPLICATION_FACTOR: [38, 'Misconfigured', BY_HAND],
  INVALID_REPLICA_ASSIGNMENT: [39, 'Misconfigured', BY_HAND],
  INVALID_CONFIG: [40, 'Misconfigured', BY_HAND],
  NOT_CONTROLLER: [41, 'BrokerUnavailable'],
  UNSUPPORTED_FOR_MESSAGE_FORMAT: [43, 'Misconfigured'],
  POLICY_VIOLATION: [44, 'Misconfigured', BY_HAND],
  // A new producer session, or a little time, helps.
  OUT_OF_ORDER_SEQUENCE_NUMBER: [45, 'BrokerUnavailable'],
  DUPLICATE_SEQUENCE_NUMBER: [46, 'BrokerUnavailable'],
  INVALID_PRODUCER_EPOCH: [47, 'BrokerUnavailable'],
  INVALID_PRODUCER_ID_MAPPING: [49, 'BrokerUnavailable'],
  CONCURRENT_TRANSACTIONS: [51, 'BrokerUnavailable'],
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: [53, 'Unauthorized'],
  SECURITY_DISABLED: [54, 'Misconfigured'],
  OPERATION_NOT_ATTEMPTED: [55, 'BrokerUnavailable'],
  KAFKA_STORAGE_ERROR: [56, 'BrokerUnavailable'],
  LOG_DIR_NOT_FOUND: [57, 'BrokerUnavailable'],
  SASL_AUTHENTICATION_FAILED: [58, 'LoginRefused'],
  UNKNOWN_PRODUCER_ID: [59, 'BrokerUnavailable'],
  REASSIGNMENT_IN_PROGRESS: [60, 'BrokerUnavailable'],
  DELEGATION_TOKEN_AUTHORIZATION_FAILED: [65, 'Unauthorized'],
  DELEGATION_TOKEN_EXPIRED: [66, 'LoginRefused'],
  FETCH_SESSION_ID_NOT_FOUND: [70, 'BrokerUnavailable'],
  INVALID_FETCH_SESSION_EPOCH: [71, 'BrokerUnavailable'],
  LISTENER_NOT_FOUND: [72, 'BrokerUnavailable'],
  TOPIC_DELETION_DISABLED: [
    73,
    'Misconfigured',
    'Set delete.topic.enable=true on the brokers, or delete the topic by hand.',
  ],
  FENCED_LEADER_EPOCH: [74, 'BrokerUnavailable'],
  UNKNOWN_LEADER_EPOCH: [75, 'BrokerUnavailable'],
  UNSUPPORTED_COMPRESSION_TYPE: [76, 'Misconfigured'],
  STALE_BROKER_EPOCH: [77, 'BrokerUnavailable'],
  OFFSET_NOT_AVAILABLE: [78, 'BrokerUnavailable'],
  MEMBER_ID_REQUIRED: [79, 'BrokerUnavailable'],
  PREFERRED_LEADER_NOT_AVAILABLE: [80, 'BrokerUnavailable'],
  FENCED_INSTANCE_ID: [82, 'BrokerUnavailable'],
  INVALID_RECORD: [87, 'Misconfigured'], // the broker checks records, as of a compacted topic, or against a schema
  UNSTABLE_OFFSET_COMMIT: [88, 'BrokerUnavailable'],
};

/** Errors of a Kafka client itself, by name: kafkajs's, whose `KafkaJSNumberOfRetriesExceeded` says nothing but has a cause, and ours. */
export const KAFKA_CLIENT_ERRORS: Readonly<Record<string, FailureKind>> = {
  KafkaJSSASLAuthenticationError: 'LoginRefused',
  KafkaJSServerDoesNotSupportApiKey: 'Misconfigured',
  KafkaJSConnectionError: 'BrokerUnavailable',
  KafkaJSConnectionClosedError: 'BrokerUnavailable',
  KafkaJSRequestTimeoutError: 'BrokerUnavailable',
  KafkaJSBrokerNotFound: 'BrokerUnavailable',
  KafkaJSNoBrokerAvailableError: 'BrokerUnavailable',
  KafkaJSGroupCoordinatorNotFound: 'BrokerUnavailable',
  KafkaJSMetadataNotLoaded: 'BrokerUnavailable',
  KafkaJSTopicMetadataNotLoaded: 'BrokerUnavailable',
  KafkaJSStaleTopicMetadataAssignment: 'BrokerUnavailable',
  KafkaJSPartialMessageError: 'BrokerUnavailable',
  KafkaJSInvalidVarIntError: 'BrokerUnavailable',
  KafkaJSInvalidLongError: 'BrokerUnavailable',
  KafkaJSTimeout: 'BrokerUnavailable',
  KafkaJSLockTimeout: 'BrokerUnavailable',
  // Of our own client, `src/kafka/client/errors.ts`.
  KafkaTimeout: 'BrokerUnavailable',
  ConnectionDiscarded: 'BrokerUnavailable',
  SendNotConfirmed: 'BrokerUnavailable',
  SessionRetired: 'BrokerUnavailable',
  UnknownPartition: 'BrokerUnavailable',
  FetchRefused: 'BrokerUnavailable',
};
