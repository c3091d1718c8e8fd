import { setTimeout as sleep } from 'node:timers/promises';
import type { OperatorService } from '@temporalio/client';
import { SEARCH_ATTRIBUTES, type SearchAttributeName } from '../domain/search-attributes.js';
import { Failure } from '../failure/failure.js';
import type { Log } from '../observe/log.js';

/** Numbers of `temporal.api.enums.v1.IndexedValueType`. */
const TYPE_NUMBERS = { Keyword: 2, Int: 3 } as const;

/**
 * Makes sure that the namespace knows our search attributes: without one of them every workflow task fails, again and
 * again. If we may not read them, nothing is checked here, and the server reports what is missing.
 * @throws Failure `Misconfigured` where one is missing and cannot be added, or has another type
 */
export async function ensureSearchAttributes(operator: OperatorService, namespace: string): Promise<void> {
  const names = Object.keys(SEARCH_ATTRIBUTES) as SearchAttributeName[];
  const known = await listed(operator, namespace);
  if (known === undefined) return;
  const wrong = names.find((name) => known[name] !== undefined && known[name] !== numberOf(name));
  if (wrong !== undefined)
    throw new Failure('Misconfigured', {
      message: `Search attribute ${wrong} of Temporal namespace "${namespace}" is not of type ${SEARCH_ATTRIBUTES[wrong]}.`,
      remedy: `Remove it (temporal operator search-attribute remove --name ${wrong}) and start the worker again.`,
    });
  const missing = names.filter((name) => known[name] === undefined);
  if (missing.length === 0) return;
  try {
    const searchAttributes = Object.fromEntries(missing.map((name) => [name, numberOf(name)]));
    await operator.addSearchAttributes({ namespace, searchAttributes });
  } catch (cause) {
    // Another worker may have added it in between.
    const now = await listed(operator, namespace);
    const lacking = missing.filter((name) => now?.[name] === undefined);
    if (lacking.length === 0) return;
    throw refusedToAdd(namespace, lacking, { known: now ?? known, cause });
  }
}

/** How many custom attributes of a type a namespace may have where Temporal keeps them in SQL. */
const MOST_KEYWORDS = 10;

function refusedToAdd(
  namespace: string,
  lacking: readonly SearchAttributeName[],
  { known, cause }: { readonly known: Readonly<Record<string, number>>; readonly cause: unknown },
): Failure {
  const place = `Temporal namespace "${namespace}"`;
  const keywords = lacking.filter((name) => SEARCH_ATTRIBUTES[name] === 'Keyword').length;
  const others = Object.values(known).filter((type) => type === TYPE_NUMBERS.Keyword).length;
  if (others + keywords > MOST_KEYWORDS)
    return new Failure('Misconfigured', {
      message: `${place} has ${others} search attributes of type Keyword. pg2click needs ${keywords} more (${lacking.join(', ')}), and Temporal lets a namespace have ${MOST_KEYWORDS} of them.`,
      remedy:
        'Give pg2click a namespace of its own (TEMPORAL_NAMESPACE). Or remove an attribute that nobody needs: ' +
        'temporal operator search-attribute list, then temporal operator search-attribute remove --name NAME.',
      cause,
    });
  const flags = lacking.map((name) => `--name ${name} --type ${SEARCH_ATTRIBUTES[name]}`).join(' ');
  return new Failure('Misconfigured', {
    message: `${place} lacks search attributes (${lacking.join(', ')}), and adding them was refused.`,
    remedy: `Let an operator run: temporal operator search-attribute create ${flags}`,
    cause,
  });
}

const EVERY_MS = 10_000;

/**
 * Looks after the search attributes while a worker runs: without one that somebody has removed the workflows of all tables stand still,
 * and nothing that they are asked for happens. It says so once where they cannot be made again.
 */
export async function watchSearchAttributes(
  operator: OperatorService,
  namespace: string,
  { log, signal, everyMs = EVERY_MS }: { readonly log: Log; readonly signal: AbortSignal; readonly everyMs?: number },
): Promise<void> {
  let said = '';
  while (!signal.aborted) {
    await sleep(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      await ensureSearchAttributes(operator, namespace);
      said = '';
    } catch (error) {
      const { message, remedy } = error instanceof Failure ? error : { message: '', remedy: '' };
      if (message !== '' && message !== said) log.error({ kind: 'Misconfigured', remedy }, message);
      said = message;
    }
  }
}

async function listed(operator: OperatorService, namespace: string): Promise<Record<string, number> | undefined> {
  try {
    const { customAttributes } = await operator.listSearchAttributes({ namespace });
    return customAttributes;
  } catch {
    return undefined;
  }
}

function numberOf(name: SearchAttributeName): number {
  return TYPE_NUMBERS[SEARCH_ATTRIBUTES[name]];
}
