import { setTimeout as sleep } from 'node:timers/promises';
import {
  findLacking,
  listSearchAttributes,
  TYPE_NUMBERS,
  typeNumber,
  type TemporalServices,
} from '../control/search-attributes.js';
import { temporalCommand } from '../control/temporal-command.js';
import { SEARCH_ATTRIBUTES, type SearchAttributeName } from '../domain/search-attributes.js';
import type { Log } from '../observe/log.js';

/** Why tables go on without some of the search attributes, and what brings those back. */
export interface LackNote {
  readonly names: readonly SearchAttributeName[];
  readonly message: string;
  readonly remedy: string;
}

/**
 * Registers those of our search attributes that the namespace lacks, as many as it takes. Tables go on without the others.
 * @param found what it lacks, where it was asked already
 * @returns undefined where none is lacking, or the namespace does not say
 */
export async function ensureSearchAttributes(
  services: TemporalServices,
  namespace: string,
  found?: readonly SearchAttributeName[],
): Promise<LackNote | undefined> {
  const lacking = found ?? (await findLacking(services, namespace)) ?? [];
  if (lacking.length === 0) return undefined;
  const known = (await listSearchAttributes(services, namespace)) ?? {};
  /** Those of another type: adding them changes nothing, and the server says that it went well. */
  const wrong = lacking.filter((name) => known[name] !== undefined);
  const absent = lacking.filter((name) => !wrong.includes(name));
  try {
    if (absent.length > 0) await register(services, namespace, absent);
    return wrong.length === 0 ? undefined : explainLack(namespace, wrong, known);
  } catch {
    // All or none: one by one, the most useful ones may find room.
    for (const name of absent) await register(services, namespace, [name]).catch(() => undefined);
  }
  // Another worker may have added some in between.
  const names = (await findLacking(services, namespace)) ?? lacking;
  const now = (await listSearchAttributes(services, namespace)) ?? known;
  return names.length === 0 ? undefined : explainLack(namespace, names, now);
}

async function register(
  { operatorService }: TemporalServices,
  namespace: string,
  names: readonly SearchAttributeName[],
): Promise<void> {
  const searchAttributes = Object.fromEntries(names.map((name) => [name, typeNumber(name)]));
  await operatorService.addSearchAttributes({ namespace, searchAttributes });
}

/** How many custom attributes of a type a namespace may have where Temporal keeps them in SQL. */
const MOST = { Keyword: 10, Int: 3 } as const;
const TYPES = ['Keyword', 'Int'] as const;

function explainLack(
  namespace: string,
  names: readonly SearchAttributeName[],
  known: Readonly<Record<string, number>>,
): LackNote {
  const [why, remedy] = reasonOf(names, known, namespace);
  return {
    names,
    message: `Tables go on without search attributes that Temporal namespace "${namespace}" lacks (${names.join(', ')}): ${why}.`,
    remedy: `To filter lists of Temporal by them, ${remedy}. Workers notice it within a minute.`,
  };
}

function reasonOf(
  names: readonly SearchAttributeName[],
  known: Readonly<Record<string, number>>,
  namespace: string,
): readonly [why: string, remedy: string] {
  const remove = (flags: string): string => temporalCommand(`operator search-attribute remove ${flags}`, namespace);
  const wrong = names.filter((name) => known[name] !== undefined);
  if (wrong.length > 0)
    return [`of another type is there: ${wrong.join(', ')}`, `run: ${remove(`--name ${wrong.join(' --name ')}`)}`];
  const countOf = (type: (typeof TYPES)[number]): number =>
    Object.values(known).filter((each) => each === TYPE_NUMBERS[type]).length;
  const wanted = TYPES.filter((type) => names.some((name) => SEARCH_ATTRIBUTES[name] === type));
  const full = wanted.find((type) => countOf(type) >= MOST[type]);
  if (full !== undefined)
    return [
      `it has ${countOf(full)} of type ${full}, and Temporal lets it have ${MOST[full]}`,
      `give pg2click a namespace of its own (TEMPORAL_NAMESPACE), or remove one that nobody needs (${remove('--name NAME')})`,
    ];
  const flags = names.map((name) => `--name ${name} --type ${SEARCH_ATTRIBUTES[name]}`).join(' ');
  return [
    'adding them was refused',
    `let an operator run: ${temporalCommand(`operator search-attribute create ${flags}`, namespace)}`,
  ];
}

const LOOK_MS = 10_000;
/** Registering costs a request for each of them, and a namespace without room refuses it for ever. */
const TRY_MS = 60_000;

/**
 * Looks after the search attributes while a worker runs: it makes again what somebody has removed, and notes what cannot be made. It
 * says so each time that this changes.
 */
export class SearchAttributeWatch {
  readonly #services: TemporalServices;
  readonly #namespace: string;
  readonly #log: Log;
  #lacking: readonly SearchAttributeName[] | undefined;
  #said: string | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;

  constructor(services: TemporalServices, namespace: string, log: Log) {
    this.#services = services;
    this.#namespace = namespace;
    this.#log = log;
  }

  /** @returns undefined while the namespace has not said it yet: a table that is told that it lacks none writes them all */
  lacking(): readonly SearchAttributeName[] | undefined {
    return this.#lacking;
  }

  async run(signal: AbortSignal, everyMs = LOOK_MS): Promise<void> {
    while (!signal.aborted) {
      await sleep(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await this.look();
    }
  }

  async look(): Promise<void> {
    const lacking = await findLacking(this.#services, this.#namespace);
    if (lacking === undefined) return;
    const now = performance.now();
    if (lacking.join() === this.#lacking?.join() && now - this.#triedAt < TRY_MS) return;
    this.#triedAt = now;
    const note = await ensureSearchAttributes(this.#services, this.#namespace, lacking);
    this.#lacking = note?.names ?? [];
    if (note !== undefined && note.message !== this.#said) this.#log.warn({ remedy: note.remedy }, note.message);
    this.#said = note?.message;
  }
}
