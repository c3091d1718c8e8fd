import { request as requestPlain, type IncomingMessage } from 'node:http';
import { request as requestSecure } from 'node:https';
import { text as readText } from 'node:stream/consumers';
import { clip } from '../domain/clip.js';
import { explainTls } from '../failure/explain-tls.js';
import { Failure } from '../failure/failure.js';
import type { RegistryServer } from '../settings/registry.js';
import { nodeTlsOptions } from './tls.js';
import { explainNetworkError } from './unreachable.js';

const TIMEOUT_MS = 10_000;
const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json';
/** `error_code` of a schema that is not there. */
const NO_SCHEMA = 40_403;
/** Schemas that are remembered. */
const MOST_KNOWN = 1_000;
const MOST_WORDS = 200;

/** @throws Failure `Misconfigured` where none is set */
export function requireRegistry<T>(registry: T | undefined): T {
  if (registry !== undefined) return registry;
  throw new Failure('Misconfigured', {
    message: 'Messages in Avro need a schema registry, and SCHEMA_REGISTRY_URL is not set.',
    remedy: 'Set SCHEMA_REGISTRY_URL for the commands and the workers, or use --format json.',
  });
}

/**
 * Some calls of Confluent's HTTP API. The packages that speak it bring an Avro library and a validator of JSON along, and know no
 * certificates.
 */
export class SchemaRegistry {
  readonly #server: RegistryServer;
  /** By subject and schema. */
  readonly #ids = new Map<string, Promise<number>>();
  /** By id. */
  readonly #schemas = new Map<number, Promise<string>>();

  constructor(server: RegistryServer) {
    this.#server = server;
  }

  /** Whether it answers, and takes Avro. @throws Failure `RegistryUnavailable`, `LoginRefused`, `Unauthorized`, `Misconfigured` */
  async probe(): Promise<void> {
    const types = await this.#call('GET', '/schemas/types');
    if (Array.isArray(types) && types.includes('AVRO')) return;
    throw this.#foreign('its list of schema types has no AVRO');
  }

  /**
   * The id of a schema under a subject, which has it from then on. One call for each subject and schema of a process.
   * @throws Failure `SchemaRefused`, and as `probe`
   */
  register(subject: string, schema: string): Promise<number> {
    const key = `${subject}\n${schema}`;
    return remember(this.#ids, key, () => this.#register(subject, schema));
  }

  /**
   * The text of a schema that others registered. One call for each id of a process: what an id means does not change.
   * @throws Failure `Misconfigured` for one that it does not have, and as `probe`
   */
  schema(id: number): Promise<string> {
    return remember(this.#schemas, id, () => this.#schema(id));
  }

  async #schema(id: number): Promise<string> {
    const { status, content } = await this.#send('GET', `/schemas/ids/${id}`);
    if (status === 404 && errorCodeOf(content) === NO_SCHEMA)
      throw new Failure('Misconfigured', {
        message: `${this.#name} has no schema ${id}, which a message names.`,
        remedy:
          'Set SCHEMA_REGISTRY_URL to the registry that the connector of the topic uses, restart the workers, then resume the table.',
      });
    const answer = this.#read(status, content);
    const { schema, schemaType, references } = (answer ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof schema !== 'string') throw this.#foreign('its answer has no schema');
    if (schemaType !== undefined && schemaType !== 'AVRO') throw this.#unfit(id, 'is none of Avro');
    if (Array.isArray(references) && references.length > 0) throw this.#unfit(id, 'refers to other schemas');
    return schema;
  }

  #unfit(id: number, why: string): Failure {
    return new Failure('Misconfigured', {
      message: `Schema ${id} of ${this.#name.charAt(0).toLowerCase()}${this.#name.slice(1)}, which a message names, ${why}, and that is not read.`,
      remedy: 'Let the connector write with the JSON or the Avro converter; then remove the table and add it again.',
    });
  }

  async #register(subject: string, schema: string): Promise<number> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions`;
    const answer = await this.#call('POST', path, { schemaType: 'AVRO', schema }, subject);
    const { id } = (answer ?? {}) as { readonly id?: unknown };
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < 2 ** 32) return id;
    throw this.#foreign('its answer has no id');
  }

  async #call(method: string, path: string, body?: object, subject = ''): Promise<unknown> {
    const { status, content } = await this.#send(method, path, body);
    return this.#read(status, content, subject);
  }

  #read(status: number, content: string, subject = ''): unknown {
    if (status === 200) {
      try {
        return JSON.parse(content);
      } catch {
        throw this.#foreign('its answer is no JSON');
      }
    }
    throw this.#refusal(status, content, subject);
  }

  async #send(method: string, path: string, body?: object): Promise<{ status: number; content: string }> {
    const { url, user, password, tls } = this.#server;
    const options = {
      method,
      headers: { accept: CONTENT_TYPE, ...(body === undefined ? {} : { 'content-type': CONTENT_TYPE }) },
      timeout: TIMEOUT_MS,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(user === undefined ? {} : { auth: `${user}:${password.reveal()}` }),
      ...(tls === undefined ? {} : nodeTlsOptions(tls)),
    };
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const request = tls === undefined ? requestPlain : requestSecure;
        const sent = request(`${url}${path}`, options, resolve).once('error', reject);
        sent.end(body === undefined ? undefined : JSON.stringify(body));
      });
      return { status: response.statusCode ?? 0, content: await readText(response) };
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  #unreachable(error: unknown): Failure {
    const tls = explainTls(error);
    const sentence = tls?.sentence ?? explainNetworkError(error) ?? `did not answer within ${TIMEOUT_MS / 1_000} s`;
    return new Failure(tls === undefined ? 'RegistryUnavailable' : 'Misconfigured', {
      message: `${this.#name} ${sentence}.`,
      ...(tls === undefined ? {} : { remedy: 'Look at SCHEMA_REGISTRY_URL and the SCHEMA_REGISTRY_TLS_ settings.' }),
      cause: error,
    });
  }

  #refusal(status: number, content: string, subject: string): Failure {
    switch (status) {
      case 401:
        return new Failure('LoginRefused', {
          message: `${this.#name} does not take the user and password of SCHEMA_REGISTRY_USER.`,
        });
      case 403:
        return new Failure('Unauthorized', {
          message: `${this.#name} does not let us ${subject === '' ? 'read' : `write subject ${subject}`}.`,
        });
      case 409:
      case 422:
        return new Failure('SchemaRefused', {
          message: `${this.#name} refuses the schema for subject ${subject}: ${wordsOf(content)}`,
          remedy:
            `Compare it with the versions of ${subject} in the registry. If its readers take the change, set the compatibility of ` +
            `the subject to NONE (PUT /config/${subject}), then resume the table, and set it back. Else keep the readers away from ` +
            'the new columns first.',
        });
      default:
        return status === 429 || status >= 500
          ? new Failure('RegistryUnavailable', { message: `${this.#name} answers with status ${status}.` })
          : this.#foreign(`it answers with status ${status}`);
    }
  }

  #foreign(why: string): Failure {
    return new Failure('Misconfigured', {
      message: `${this.#name} does not speak the HTTP API of Confluent: ${why}.`,
      remedy: 'Correct SCHEMA_REGISTRY_URL. Some registries have that API under a path, such as /apis/ccompat/v7.',
    });
  }

  get #name(): string {
    return `The schema registry ${this.#server.url}`;
  }
}

/** @param known in the order in which they were asked for; a failed answer is not kept */
function remember<Key, T>(known: Map<Key, Promise<T>>, key: Key, ask: () => Promise<T>): Promise<T> {
  const before = known.get(key);
  if (before !== undefined) return before;
  const [oldest] = known.keys();
  if (known.size >= MOST_KNOWN && oldest !== undefined) known.delete(oldest);
  const asking = ask();
  known.set(key, asking);
  asking.catch(() => known.delete(key));
  return asking;
}

function errorCodeOf(content: string): unknown {
  try {
    return (JSON.parse(content) as { readonly error_code?: unknown } | null)?.error_code;
  } catch {
    return undefined;
  }
}

/** What the registry says, which is about schemas: no row is in it. */
function wordsOf(content: string): string {
  try {
    const { message } = JSON.parse(content) as { readonly message?: unknown };
    if (typeof message === 'string' && message !== '') return clip(message.replaceAll(/\s+/gu, ' '), MOST_WORDS);
  } catch {
    // A proxy may have answered.
  }
  return 'it does not say why.';
}
