import { chooseTarget } from '../../activities/choose-names.js';
import { chooseRoute, DEFAULT_CAPTURE, strayMessages, strayOptions } from '../../activities/choose-route.js';
import { avroSchema } from '../avro/schema.js';
import type { Databases } from '../connect/databases.js';
import { requireSameColumns, requireSameOptions } from '../control/check-options.js';
import type { PrepareRequest } from '../domain/receipt.js';
import { sqlName } from '../domain/table-name.js';
import { optionsOf } from '../domain/table-options.js';
import { Failure } from '../failure/failure.js';
import { addAgainRemedy, addElsewhere } from '../failure/remedies.js';
import { isMissingLedger } from '../ledger/query.js';
import { listTakenNames, readStanding, type TakenNames } from '../ledger/registration.js';
import { refuseSecondName } from '../ledger/second-name.js';
import type { Settings } from '../settings/settings.js';
import { kafkaOf, type CaptureSpec, type Route } from '../domain/route.js';
import { filterSql } from '../domain/row-filter.js';
import { refusalOf } from '../domain/route-refusal.js';
import { loaderNamed } from '../domain/replicated-table.js';
import { refuseEngineNames } from '../clickhouse/kafka-engine/names.js';
import { LOADERS } from '../clickhouse/loaders.js';
import type { Inspection } from '../source/capture.js';
import { currentName, findRelation } from '../source/catalog/place.js';
import { CAPTURES } from '../source/captures.js';

export interface CheckedTable {
  readonly inspection: Inspection;
  /** It was added before, and is prepared. */
  readonly prepared: boolean;
  /** The one it has, or will get: names may be others by then. */
  readonly route: Route;
  /** The names that other tables have; none where it has its own already. */
  readonly taken: readonly TakenNames[];
}

export interface CheckOptions {
  readonly settings: Settings;
  /** Whether its workflow runs: a name that is taken then has another way out. */
  readonly isAdded: () => Promise<boolean>;
}

/**
 * All that can be refused of a table before anything is started.
 * @throws Failure `UnsuitableTable` and its like; `TargetTaken` for a topic or target of another table
 */
export async function checkTable(
  { ledger, source }: Databases,
  request: PrepareRequest,
  { settings, isAdded }: CheckOptions,
): Promise<CheckedTable> {
  const { options, pipeline } = request;
  const capture = options.capture ?? DEFAULT_CAPTURE;
  refuse(
    CAPTURES.kinds.includes(capture)
      ? undefined
      : `There is no capture "${capture}": choose ${CAPTURES.kinds.join(' or ')}.`,
  );
  const standing = await readStanding(ledger, pipeline, request).catch((error: unknown) => {
    // The worker makes it.
    if (isMissingLedger(error)) return undefined;
    throw error;
  });
  const added = standing?.ready === true ? standing.table : undefined;
  if (standing !== undefined && added === undefined)
    await refuseSecondName(ledger, request, await findRelation(source, request));
  const name = added === undefined ? request : await currentName(source, added);
  const { types, policies, policy, codecs, lowCardinality, excluded, renamed } = options;
  const asksColumns = (types ?? policies ?? policy ?? codecs ?? lowCardinality ?? excluded ?? renamed) !== undefined;
  // Nothing said: the choices that it has stay.
  const asks = asksColumns || options.where !== undefined;
  const known = added === undefined || asks ? {} : { known: added };
  const inspection = await CAPTURES.named(capture).inspect(source, name, { ...options, ...known });
  const route = chooseRoute(request, { settings, capture: inspection.capture, taken: [] });
  refuse(strayOptions(options, inspection.capture) ?? refusalOf(route, KINDS) ?? strayMessages(options, route));
  const { schema, table } = request;
  if (kafkaOf(route)?.format === 'avro') avroSchema({ ...inspection, name: { schema, table } });
  if (route.loaders.some(({ kind }) => kind === 'kafka-engine'))
    refuseEngineNames({ name: { schema, table }, columns: inspection.columns });
  if (added !== undefined) {
    const target = options.target === undefined ? undefined : nameOf(chooseTarget(request, settings, []));
    // As PostgreSQL prints it: it may have been written in another way.
    const where = filterSql(inspection);
    requireSameOptions(request, { ...options, target, where }, optionsOf(added));
    if (asksColumns) requireSameColumns(request, inspection, added);
    return { inspection, prepared: true, route: added.route, taken: [] };
  }
  if (standing === undefined) return { inspection, prepared: false, route, taken: [] };
  const taken = await listTakenNames(ledger, pipeline, request);
  await requireFreeNames(request, inspection.capture, { settings, isAdded, taken });
  return { inspection, prepared: false, route, taken };
}

const KINDS = { captures: CAPTURES.kinds, loaders: LOADERS.kinds };

function refuse(refusal: string | undefined): void {
  if (refusal !== undefined) throw new Failure('UnsuitableTable', { message: refusal });
}

/**
 * @param taken in the order in which they were given away
 * @returns the names that the table gets
 * @throws Failure `TargetTaken`
 */
export async function requireFreeNames(
  request: PrepareRequest,
  capture: CaptureSpec,
  { settings, isAdded, taken }: CheckOptions & { readonly taken: readonly TakenNames[] },
): Promise<TakenNames> {
  const route = chooseRoute(request, { settings, capture, taken });
  const topic = kafkaOf(route)?.topic;
  const { target } = loaderNamed({ route });
  const title = sqlName(request);
  const refuseTaken = async (owner: string, what: string, option: 'topic' | 'target'): Promise<never> => {
    throw new Failure('TargetTaken', {
      message: `The ${what}, which ${title} would have, is that of ${owner}.`,
      remedy: (await isAdded())
        ? addAgainRemedy({ name: request }, request.options, option)
        : `Nothing was changed. Choose a name that is free: ${addElsewhere(request, request.options, option)}`,
    });
  };
  for (const { owner, ...names } of taken) {
    if (topic !== undefined && names.topic === topic) await refuseTaken(owner, `topic ${topic}`, 'topic');
    if (names.targets.some((each) => nameOf(each) === nameOf(target)))
      await refuseTaken(owner, `ClickHouse table ${nameOf(target)}`, 'target');
  }
  return { owner: title, topic: topic ?? null, targets: [target] };
}

function nameOf({ database, table }: { readonly database: string; readonly table: string }): string {
  return `${database}.${table}`;
}
