import { Failure } from '../../failure/failure.js';
import type { Settings } from '../../settings/settings.js';
import { quoteText } from '../names.js';

/**
 * How ClickHouse itself connects to Kafka, as settings of its Kafka table. The password is one of them: ClickHouse hides it
 * where it shows the table, and keeps it in the table's metadata file.
 * @returns values as SQL literals
 * @throws Failure `Misconfigured` for what a table of ClickHouse cannot be told: a client certificate
 */
export function connectionSettings({ kafka }: Pick<Settings, 'kafka'>): Readonly<Record<string, string>> {
  const { brokersForClickHouse, tls, sasl } = kafka;
  if (tls?.client !== undefined)
    throw new Failure('Misconfigured', {
      message:
        'Kafka is set up with a client certificate (KAFKA_TLS_CERT), and the Kafka engine of ClickHouse takes none in a table.',
      remedy:
        'Use --loader worker. Or let ClickHouse prove itself by a user and password: set KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD in place of it.',
    });
  const protocol =
    sasl === undefined ? (tls === undefined ? undefined : 'ssl') : tls === undefined ? 'sasl_plaintext' : 'sasl_ssl';
  return {
    kafka_broker_list: quoteText(brokersForClickHouse.join(',')),
    ...(protocol === undefined ? {} : { kafka_security_protocol: quoteText(protocol) }),
    ...(sasl === undefined
      ? {}
      : {
          kafka_sasl_mechanism: quoteText(sasl.mechanism.toUpperCase()),
          kafka_sasl_username: quoteText(sasl.username),
          [PASSWORD_SETTING]: quoteText(sasl.password.reveal()),
        }),
  };
}

export const PASSWORD_SETTING = 'kafka_sasl_password';
