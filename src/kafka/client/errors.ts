/** No response within the time that the caller had. */
export class KafkaTimeout extends Error {
  override readonly name = 'KafkaTimeout';
  readonly ms: number;

  constructor(ms: number) {
    super(`Kafka did not answer within ${ms / 1_000} s.`);
    this.ms = ms;
  }
}

/** The connections were given up while they were being made: others may be there now. */
export class ConnectionDiscarded extends Error {
  override readonly name = 'ConnectionDiscarded';
  readonly retriable = true;

  constructor() {
    super('The connections to Kafka were given up while they were being made.');
  }
}

/** The metadata that was loaded lack this partition, and nothing was sent to it. It may be there: brokers learn of it a moment later. */
export class UnknownPartition extends Error {
  override readonly name = 'UnknownPartition';

  constructor(topic: string, partition: number) {
    super(`No broker knows partition ${partition} of topic ${topic} yet.`);
  }
}

/** A topic or a partition that no broker knew at repeated questions. */
export class MissingPartition extends Error {
  override readonly name = 'MissingPartition';
  readonly topic: string;
  readonly partition: number;
  /** Partitions that the topic has; undefined where there is no such topic. */
  readonly partitions: number | undefined;

  constructor(topic: string, partition: number, partitions: number | undefined) {
    super(`There is no partition ${partition} of topic ${topic}.`);
    this.topic = topic;
    this.partition = partition;
    this.partitions = partitions;
  }
}

/** The broker answered a send without saying where it was written. */
export class SendNotConfirmed extends Error {
  override readonly name = 'SendNotConfirmed';

  constructor(topic: string, partition: number) {
    super(`Kafka did not confirm what was sent to partition ${partition} of topic ${topic}.`);
  }
}

/** The producer session ended before this send began: nothing of it was sent. */
export class SessionRetired extends Error {
  override readonly name = 'SessionRetired';

  constructor() {
    super('Another send of the same producer session failed.');
  }
}

/** A fetch was refused as a whole. */
export class FetchRefused extends Error {
  override readonly name = 'FetchRefused';

  constructor(node: number, reason: string) {
    super(`Broker ${node} refused a fetch with ${reason}.`);
  }
}

/** The same subscriber subscribed to the same topic again. */
export class Superseded extends Error {
  override readonly name = 'Superseded';

  constructor(subscriber: string, topic: string) {
    super(`A newer subscription of ${subscriber} reads topic ${topic}.`);
  }
}

/** The client was closed by its owner. */
export class ClientClosed extends Error {
  override readonly name = 'ClientClosed';

  constructor() {
    super('The Kafka client was closed.');
  }
}
