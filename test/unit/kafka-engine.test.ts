import { describe, expect, it } from 'vitest';
import { registrySettings } from '../../src/clickhouse/kafka-engine/avro-sql.js';
import { connectionSettings } from '../../src/clickhouse/kafka-engine/connection.js';
import { shortened } from '../../src/clickhouse/kafka-engine/consumers.js';
import { loadSettings } from '../../src/settings/settings.js';
import { ReadProgress } from '../../src/topic/read-progress.js';

const settingsOf = (env: Record<string, string>) => loadSettings({ env, envFile: false, stackFile: false });

describe('how ClickHouse connects to Kafka', () => {
  it('is as pg2click does', () => {
    expect(connectionSettings(settingsOf({ KAFKA_BOOTSTRAP: 'a:1,b:2' }))).toEqual({ kafka_broker_list: "'a:1,b:2'" });
  });

  it('may be at addresses of its own', () => {
    const env = { KAFKA_BOOTSTRAP: 'localhost:9092', KAFKA_BOOTSTRAP_FOR_CLICKHOUSE: 'kafka:9092' };
    expect(connectionSettings(settingsOf(env))).toEqual({ kafka_broker_list: "'kafka:9092'" });
  });

  it('is by the same user', () => {
    const env = { KAFKA_SASL_MECHANISM: 'scram-sha-256', KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_PASSWORD: "it's" };
    expect(connectionSettings(settingsOf(env))).toMatchObject({
      kafka_security_protocol: "'sasl_plaintext'",
      kafka_sasl_mechanism: "'SCRAM-SHA-256'",
      kafka_sasl_username: "'u'",
      kafka_sasl_password: String.raw`'it\'s'`,
    });
    expect(connectionSettings(settingsOf({ ...env, KAFKA_TLS: 'true' }))).toMatchObject({
      kafka_security_protocol: "'sasl_ssl'",
    });
  });
});

describe('how ClickHouse reads the schemas of messages in Avro', () => {
  it('is by the address of the registry, without the user of pg2click', () => {
    expect(registrySettings(settingsOf({ SCHEMA_REGISTRY_URL: 'http://r:8081/api/' }))).toEqual({
      format_avro_schema_registry_url: "'http://r:8081/api'",
    });
    const env = { SCHEMA_REGISTRY_URL: 'http://me:secret@r:8081' };
    expect(() => registrySettings(settingsOf(env))).toThrow('ClickHouse would show them');
    expect(
      registrySettings(settingsOf({ ...env, SCHEMA_REGISTRY_URL_FOR_CLICKHOUSE: 'http://reader:x@r:8081' })),
    ).toEqual({ format_avro_schema_registry_url: "'http://reader:x@r:8081'" });
  });

  it('needs one', () => {
    expect(() => registrySettings(settingsOf({}))).toThrow('SCHEMA_REGISTRY_URL is not set');
  });
});

describe('an error of the engine', () => {
  it.each([
    ['Broker: Unknown topic or partition\n0. ? @ 0x0', 'Broker: Unknown topic or partition'],
    ['Local: Broker transport failure', 'Local: Broker transport failure'],
    [
      "Code: 27. DB::Exception: Cannot parse input: expected '\"' before: 'secret'",
      '27 CANNOT_PARSE_INPUT_ASSERTION_FAILED',
    ],
    ["DB::Exception: a value 'secret'. (TYPE_MISMATCH)", 'TYPE_MISMATCH'],
    ['secret', 'an error of ClickHouse'],
  ])('is told without values of rows: %s', (text, told) => {
    expect(shortened(text)).toBe(told);
  });
});

describe('how far a reader is', () => {
  it('is known once it has passed where the topic ended when the capture stood there', () => {
    const progress = new ReadProgress(0n);
    progress.observe(10n, { 0: '5', 1: '7' }, { 0: '5', 1: '6' }, 0);
    expect([progress.read, progress.lagSeconds(2_000)]).toEqual([0n, 2]);
    progress.observe(20n, { 0: '9', 1: '9' }, { 0: '5', 1: '7' }, 3_000);
    expect([progress.read, progress.lagSeconds(4_000)]).toEqual([10n, 1]);
    progress.observe(20n, { 0: '9', 1: '9' }, { 0: '9', 1: '9' }, 5_000);
    expect([progress.read, progress.lagSeconds(9_000)]).toEqual([20n, 0]);
  });
});
