import type { ConnectionLike, WorkflowExecutionInfo } from '@temporalio/client';
import {
  SEARCH_ATTRIBUTE_NAMES,
  SEARCH_ATTRIBUTES,
  SEARCH_KEYS,
  type SearchAttributeName,
} from '../domain/search-attributes.js';
import { FAILURE_KINDS, type FailureKind } from '../failure/kinds.js';
import { PHASES, type Phase } from '../../workflows/table-state.js';

/** Of a client or of a worker. */
export type TemporalServices = Pick<ConnectionLike, 'operatorService' | 'workflowService'>;

/** Numbers of `temporal.api.enums.v1.IndexedValueType`. */
export const TYPE_NUMBERS = { Keyword: 2, Int: 3 } as const;

/** What a workflow shows of its table without being asked. */
export interface Shown {
  readonly phase: Phase | undefined;
  /** Of the failure that holds it up, or slowed it down last. */
  readonly failureKind: FailureKind | undefined;
}

/** The memo has what the namespace lacks an attribute for. */
export function readShown({
  memo = {},
  typedSearchAttributes: attributes,
}: Pick<WorkflowExecutionInfo, 'memo' | 'typedSearchAttributes'>): Shown {
  const shown = (key: typeof SEARCH_KEYS.phase | typeof SEARCH_KEYS.failure): unknown =>
    memo[key.name] ?? attributes.get(key);
  return {
    phase: PHASES.find((each) => each === shown(SEARCH_KEYS.phase)),
    failureKind: FAILURE_KINDS.find((each) => each === shown(SEARCH_KEYS.failure)),
  };
}

/** @returns type by name, as numbers, of all that the namespace has; undefined where we may not list them, or nothing answers */
export async function listSearchAttributes(
  { operatorService }: TemporalServices,
  namespace: string,
): Promise<Readonly<Record<string, number>> | undefined> {
  try {
    return (await operatorService.listSearchAttributes({ namespace })).customAttributes;
  } catch {
    return undefined;
  }
}

/** @returns those that tables cannot have in the namespace, the most useful first; undefined where it does not say */
export async function findLacking(
  services: TemporalServices,
  namespace: string,
): Promise<readonly SearchAttributeName[] | undefined> {
  const known = await listSearchAttributes(services, namespace);
  if (known !== undefined) return SEARCH_ATTRIBUTE_NAMES.filter((name) => known[name] !== typeNumber(name));
  const lacking = await Promise.all(SEARCH_ATTRIBUTE_NAMES.map((name) => isUnknown(services, namespace, name)));
  return lacking.includes(undefined) ? undefined : SEARCH_ATTRIBUTE_NAMES.filter((_name, index) => lacking[index]);
}

export function typeNumber(name: SearchAttributeName): number {
  return TYPE_NUMBERS[SEARCH_ATTRIBUTES[name]];
}

const INVALID_ARGUMENT = 3;

/** Values of the types. Another type refuses them in a question as in a workflow, but for KeywordList and Datetime. */
const PROBES = { Keyword: `'a'`, Int: '0' } as const;

/** A question that everybody may ask who may list workflows. @returns undefined where it is not answered */
async function isUnknown(
  { workflowService }: TemporalServices,
  namespace: string,
  name: SearchAttributeName,
): Promise<boolean | undefined> {
  try {
    await workflowService.countWorkflowExecutions({ namespace, query: `${name} = ${PROBES[SEARCH_ATTRIBUTES[name]]}` });
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === INVALID_ARGUMENT ? true : undefined;
  }
}
