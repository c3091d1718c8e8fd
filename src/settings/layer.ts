import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { Failure } from '../failure/failure.js';
import { isServerSecret } from './clickhouse-name.js';
import { refuseUnreadLines } from './env-lines.js';
import { SETTINGS, SETTING_NAMES, isSettingName, type SettingName } from './table.js';

/** A value as somebody wrote it, and where: "in .env", "in the environment". */
export interface Written {
  readonly value: string;
  readonly where: string;
}

export type WrittenSettings = ReadonlyMap<SettingName, Written>;

/** One place that settings are written in: the environment, or a `.env` file. */
export interface Layer {
  readonly where: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads a `.env` file.
 * @returns undefined when there is none
 * @throws Failure `Misconfigured` when it cannot be read, a line in it would not be read, or a secret would be cut short
 */
export function readEnvFile(path: string, shownAs: string): Layer | undefined {
  let content: string;
  try {
    content = readFileSync(path, 'utf8').replace(/^\uFEFF/u, '');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Failure('Misconfigured', { message: `Cannot read ${shownAs}.`, cause: error });
  }
  refuseUnreadLines(content, shownAs);
  refuseCutSecrets(content, shownAs);
  return { where: `in ${shownAs}`, variables: parseEnv(content) };
}

/** `PG_PASSWORD=ab#cd` reads as `ab`: the rest is a comment, and the password wrong for no visible reason. */
function refuseCutSecrets(content: string, shownAs: string): void {
  for (const line of content.split(/\r?\n/u)) {
    const [, name, value] = /^\s*(?:export\s+)?(\w+)\s*=\s*([^\s'"`].*)$/u.exec(line) ?? [];
    if (name === undefined || value === undefined || !/\S#/u.test(value)) continue;
    if (!(isSettingName(name) ? SETTINGS[name].secret : isServerSecret(name))) continue;
    throw new Failure('Misconfigured', {
      message: `${name} in ${shownAs} holds a "#" outside quotes, where a comment begins.`,
      remedy: `Put the value of ${name} in single quotes.`,
    });
  }
}

/**
 * What the layers say, the first one that says something winning. Empty values count as not written: compose files and
 * templates pass them for what is not set. A secret may be in the file that `NAME_FILE` names.
 * @throws Failure `Misconfigured` for a `NAME_FILE` that cannot be read, or stands beside `NAME` in the same layer
 */
export function readLayers(layers: readonly Layer[]): WrittenSettings {
  const written = new Map<SettingName, Written>();
  for (const name of SETTING_NAMES) {
    for (const layer of layers) {
      const found = readOne(layer, name);
      if (found === undefined) continue;
      written.set(name, found);
      break;
    }
  }
  return written;
}

function readOne(layer: Layer, name: SettingName): Written | undefined {
  return SETTINGS[name].secret ? readSecret(layer, name) : readPlain(layer, name);
}

/** @returns undefined where it is not written, or empty */
export function readPlain(layer: Layer, name: string): Written | undefined {
  const value = layer.variables[name]?.trim();
  return value === undefined || value === '' ? undefined : { value, where: layer.where };
}

/**
 * A secret, which may be in the file that `NAME_FILE` names.
 * @throws Failure `Misconfigured` for a file that cannot be read, or stands beside the value itself
 */
export function readSecret(layer: Layer, name: string): Written | undefined {
  const plain = readPlain(layer, name);
  const fileName = `${name}_FILE`;
  const file = layer.variables[fileName]?.trim();
  if (file === undefined || file === '') return plain;
  if (plain !== undefined) {
    throw new Failure('Misconfigured', {
      message: `Both ${name} and ${fileName} are set ${layer.where}.`,
      remedy: 'Keep one of them.',
    });
  }
  return { value: readSecretFile(file, fileName, layer.where), where: `in ${file} (${fileName} ${layer.where})` };
}

function readSecretFile(path: string, fileName: string, where: string): string {
  let value: string;
  try {
    // Editors end a file with a newline; a password that ends with one does not exist in practice.
    value = readFileSync(path, 'utf8').replace(/\r?\n$/u, '');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new Failure('Misconfigured', {
      message: `Cannot read ${path}, which ${fileName} ${where} names (${code}).`,
      cause: error,
    });
  }
  if (value !== '') return value;
  throw new Failure('Misconfigured', { message: `${path}, which ${fileName} ${where} names, is empty.` });
}
