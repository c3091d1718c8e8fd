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
/** Schemas whose ids are remembered. */
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
 * Two calls of Confluent's HTTP API. The packages that speak it bring an Avro library and a validator of JSON along, and know no
 * certificates.
 */
export class SchemaRegistry {
  readonly #server: RegistryServer;
  /** By subject and schema. */
  readonly #ids = new Map<string, Promise<number>>();

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
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const [oldest] = this.#ids.keys();
    if (this.#ids.size >= MOST_KNOWN && oldest !== undefined) this.#ids.delete(oldest);
    const registering = this.#register(subject, schema);
    this.#ids.set(key, registering);
    // A failed answer is not remembered.
    registering.catch(() => this.#ids.delete(key));
    return registering;
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
          message: `${this.#name} does not let us write${subject === '' ? '' : ` subject ${subject}`}.`,
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
