import type { OperatorService } from '@temporalio/client';
import { SEARCH_ATTRIBUTES, type SearchAttributeName } from '../domain/search-attributes.js';
import { Failure } from '../failure/failure.js';

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
    if (now !== undefined && missing.every((name) => now[name] !== undefined)) return;
    const flags = missing.map((name) => `--name ${name} --type ${SEARCH_ATTRIBUTES[name]}`).join(' ');
    throw new Failure('Misconfigured', {
      message: `Temporal namespace "${namespace}" lacks search attributes (${missing.join(', ')}), and adding them was refused.`,
      remedy: `Let an operator run: temporal operator search-attribute create ${flags}`,
      cause,
    });
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
