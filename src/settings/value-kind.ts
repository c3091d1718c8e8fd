import { z } from 'zod';
import { bareCharacter, isDecodable } from './url-parts.js';

/** How a setting's text is read: a schema from the text, and the words for what it expects. */
export interface ValueKind<T> {
  /** Shown in the documentation. */
  readonly name: string;
  /** Completes "expected ...". */
  readonly expected: string;
  readonly schema: z.ZodType<T, string>;
}

export const text: ValueKind<string> = { name: 'text', expected: 'some text', schema: z.string().min(1) };

/** A part of workflow ids, tokens and topic names. */
export const identifier: ValueKind<string> = {
  name: 'name',
  expected: 'a name of letters, digits, ".", "_" and "-", at most 100 long',
  schema: z.string().regex(/^[A-Za-z0-9._-]{1,100}$/),
};

/** Of Kafka: a topic or a group. */
export const topicName: ValueKind<string> = {
  name: 'name',
  expected: 'a name of letters, digits, ".", "_" and "-", at most 249 long',
  schema: z.string().regex(/^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/),
};

export const host: ValueKind<string> = {
  name: 'host',
  expected: 'a host name or an address, without a port and without a protocol',
  schema: z.string().regex(/^(?:\[?[0-9A-Fa-f:.]+\]?|[^\s:/@[\]]+)$/),
};

/** A host, or the directory of a Unix socket. */
export const hostOrSocket: ValueKind<string> = {
  name: 'host',
  expected: 'a host name or an address, without a port and without a protocol, or the directory of a Unix socket',
  schema: z.union([host.schema, z.string().regex(/^\/\S*$/)]),
};

/** `host:port`, several of them separated by commas. */
export const brokers: ValueKind<readonly string[]> = {
  name: 'host:port, ...',
  expected: 'host:port, or several of them separated by commas',
  schema: z
    .string()
    .transform((written) => written.split(',').map((broker) => broker.trim()))
    .pipe(z.array(z.string().refine(isHostAndPort)).min(1)),
};

export const hostAndPort: ValueKind<string> = {
  name: 'host:port',
  expected: 'host:port',
  schema: z.string().refine(isHostAndPort),
};

export function wholeNumber(min: number, max: number): ValueKind<number> {
  return {
    name: 'number',
    expected: `a whole number from ${min} to ${max}`,
    schema: z
      .string()
      .regex(/^\d[\d_]*$/)
      .transform((written) => Number(written.replaceAll('_', '')))
      .pipe(z.int().min(min).max(max)),
  };
}

export const port: ValueKind<number> = { ...wholeNumber(1, 65_535), name: 'port' };

export function choice<const Options extends readonly [string, ...string[]]>(
  options: Options,
): ValueKind<Options[number]> {
  return {
    name: options.join(' | '),
    expected: options.length === 1 ? options[0] : `${options.slice(0, -1).join(', ')} or ${options.at(-1) ?? ''}`,
    schema: z.string().pipe(z.enum(options)),
  };
}

/** The same, in any mixture of capitals. */
export function caseless<const Options extends readonly [string, ...string[]]>(
  options: Options,
): ValueKind<Options[number]> {
  const kind = choice(options);
  return { ...kind, schema: z.string().toLowerCase().pipe(z.enum(options)) };
}

export const postgresUrl: ValueKind<URL> = url(
  ['postgres:', 'postgresql:'],
  'postgres://user:password@host:5432/database',
);

export const clickhouseUrl: ValueKind<URL> = url(['http:', 'https:'], 'http://user:password@host:8123/database');

export const webUrl: ValueKind<URL> = url(['http:', 'https:'], 'http://host:8233');

export const registryUrl: ValueKind<URL> = url(['http:', 'https:'], 'http://user:password@host:8081');

function url(protocols: readonly string[], example: string): ValueKind<URL> {
  return {
    name: 'URL',
    expected: `a URL such as ${example} (with %XX for special characters in the password)`,
    schema: z
      .string()
      .refine((written) => URL.canParse(written) && protocols.includes(new URL(written).protocol))
      .refine((written) => isDecodable(written) && bareCharacter(written) === undefined)
      .transform((written) => new URL(written)),
  };
}

function isHostAndPort(written: string): boolean {
  const match = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@,]+):(\d{1,5})$/u.exec(written);
  const number = Number(match?.[1]);
  return match !== null && number >= 1 && number <= 65_535;
}
