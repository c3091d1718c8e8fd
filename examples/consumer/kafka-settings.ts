import { readFileSync } from 'node:fs';
import { logLevel, type KafkaConfig, type SASLOptions } from 'kafkajs';

/** How kafkajs reaches Kafka, from the settings that pg2click reads too (docs/07-settings.md). */
export function kafkaSettings(env: NodeJS.ProcessEnv = process.env): KafkaConfig {
  const [brokers, ca, username] = [env['KAFKA_BOOTSTRAP'] ?? '', env['KAFKA_TLS_CA'], env['KAFKA_SASL_USERNAME']];
  const sasl = {
    mechanism: env['KAFKA_SASL_MECHANISM'],
    username,
    password: env['KAFKA_SASL_PASSWORD'],
  } as SASLOptions;
  return {
    brokers: brokers.split(','),
    logLevel: logLevel.ERROR,
    ssl: env['KAFKA_TLS'] !== 'true' ? false : ca === undefined ? true : { ca: readFileSync(ca, 'utf8') },
    ...(username === undefined ? {} : { sasl }),
  };
}
