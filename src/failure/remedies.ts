import { quotePg } from '../domain/identifier.js';
import { isReplayName } from '../domain/replay.js';
import { sourceName, type TableOptions, type TargetTable } from '../domain/replicated-table.js';
import { engineOf, MAIN_LOADER } from '../domain/route.js';
import { tableCommand } from '../domain/table-command.js';
import { shellName, type TableName } from '../domain/table-name.js';
import { optionsOf, spokenOptions } from '../domain/table-options.js';

/** A table, how it was added, and which of its loaders is meant. */
export type AddedTable = Pick<
  TargetTable,
  'name' | 'source' | 'key' | 'excluded' | 'where' | 'route' | 'loader' | 'connection'
> &
  Partial<Pick<TargetTable, 'columns'>>;

/** A table that is to be copied again. `key`: empty where another one has to be found, undefined where that is not known. */
type CopiedTable = Pick<AddedTable, 'name' | 'source' | 'excluded' | 'where'> &
  Partial<Pick<AddedTable, 'columns' | 'route'>> & { readonly key: readonly string[] | undefined };

const KEY_FIRST =
  'See that the table has a primary key first, or a unique index on columns without NULL, which add --key COLUMNS names.';

/** What was refused by `add`, where there is nothing to resume, is refused of a table that was added as well. */
export const THEN_GO_ON = 'then add the table, or resume it if it was added';

/** The option of `add` that chooses another name. */
type NameOption = 'topic' | 'target';

/**
 * What to do about a topic or target that is taken. `resume` would try the same name again, and `add` does not change a table that is
 * added already. The target of a loader that is being added, or of a replay, has nothing to be removed first.
 */
export function takenRemedy(table: AddedTable, option: NameOption): string {
  const { name, route, loader = route?.loaders[0]?.name ?? MAIN_LOADER } = table;
  const title = shellName(name);
  if (option === 'target' && isReplayName(loader)) return 'Replay into another table: --into NAME';
  const position = route?.loaders.findIndex((each) => each.name === loader) ?? 0;
  if (option === 'target' && position !== 0) {
    const again = `pg2click loader add ${title} ${loader} --target NAME${serverOption(table)}`;
    if (position < 0) return `Choose a name that is free: ${again}`;
    return `Run pg2click loader remove ${title} ${loader}, then add it with a name that is free: ${again}`;
  }
  return addAgainRemedy(table, route === undefined ? {} : spokenOptions(optionsOf({ ...table, route })), option);
}

/** @param options those that the table was added with */
export function addAgainRemedy(
  table: Pick<AddedTable, 'name' | 'source'>,
  options: TableOptions,
  option: NameOption,
): string {
  return `Run pg2click remove ${shellName(table.name)}, then add it with a name that is free: ${addElsewhere(sourceName(table), options, option)}`;
}

/**
 * The commands after which a table is copied again, with the options that it has. `remove` cannot be taken back, so what `add` would
 * refuse then is said before it.
 * @param first what else has to be done before, a sentence
 */
export function copyAgainRemedy(
  table: CopiedTable,
  { dropTarget, first }: { readonly dropTarget: boolean; readonly first?: string | undefined },
): string {
  const isKept = isKeptLog(table);
  const before = [first, table.key?.length === 0 ? KEY_FIRST : undefined].filter((sentence) => sentence !== undefined);
  const end = isKept ? 'its log goes on there, with all rows as they are then' : 'it is copied again';
  const commands = copyAgainCommands(table, { dropTarget: dropTarget && !isKept });
  return [...before, `${before.length === 0 ? 'Run' : 'Then run'} ${commands}: ${end}.`].join(' ');
}

/**
 * The same for a table that is polled, to which a subscription writes: `add` refuses to poll it then. A plain MergeTree is for polls alone,
 * so another table takes its place.
 */
export function captureAgainRemedy(
  table: CopiedTable & Required<Pick<CopiedTable, 'route'>>,
  { dropTarget, first }: { readonly dropTarget: boolean; readonly first?: string | undefined },
): string {
  const { route } = table;
  const isPlain = route.loaders.some((loader) => engineOf(loader) === 'merge-tree');
  const loaders = route.loaders.map(({ engine: _engine, ...loader }) => loader);
  const captured = { ...table, route: { ...route, capture: { kind: 'outbox' }, loaders } };
  return copyAgainRemedy(captured, { dropTarget: dropTarget || isPlain, first });
}

/** What many remedies say, where they do not know of which table. */
const COPY_AGAIN = /(?<first>r)emove the table and add it again/iu;

/** @returns the remedy, with the commands and the options of this table where it says in words that it is to be copied again */
export function spellCommands(remedy: string, table: CopiedTable): string {
  return remedy.replace(
    COPY_AGAIN,
    (_, first: string) => `${first}un ${copyAgainCommands(table, { dropTarget: false })}`,
  );
}

function copyAgainCommands(table: CopiedTable, { dropTarget }: { readonly dropTarget: boolean }): string {
  const { name, route, key = [] } = table;
  const { key: chosen, ...rest } = route === undefined ? {} : spokenOptions(optionsOf({ ...table, key, route }));
  const again = tableCommand('add', sourceName(table), {
    ...rest,
    ...(chosen === undefined || chosen.length === 0 ? {} : { key: chosen }),
    ...(isKeptLog(table) ? { target: 'NAME' } : {}),
  });
  return `pg2click remove ${shellName(name)}${dropTarget ? ' --drop-target' : ''}, then ${again}`;
}

/** The rows of a log are its changes, which nothing brings again. */
function isKeptLog({ route }: CopiedTable): boolean {
  const loader = route?.loaders[0];
  return loader !== undefined && engineOf(loader) === 'log';
}

/**
 * What to do about a row that Kafka does not take. Only its key is in the outbox, so that the row as it is then is what is sent.
 * @param topic whose limit may be raised, to how many bytes; absent where no limit helps
 */
export function largeRowRemedy(
  { name, key }: { readonly name: TableName; readonly key: readonly string[] },
  topic?: { readonly topic: string; readonly bytes: number },
): string {
  const columns = key.map((column) => quotePg(column)).join(', ');
  const table = `${quotePg(name.schema)}.${quotePg(name.table)}`;
  const find = `Find the row: select ${columns} from ${table} t order by octet_length(t::text) desc limit 5.`;
  const raise =
    topic === undefined
      ? ''
      : ` Or set max.message.bytes=${topic.bytes} on the topic ${topic.topic} (kafka-configs.sh --alter).`;
  return `${find} Shorten or delete it.${raise} Then run pg2click resume ${shellName(name)}.`;
}

/** The command that adds a table with another name. */
export function addElsewhere(name: TableName, options: TableOptions, option: NameOption): string {
  return tableCommand('add', name, { ...options, [option]: 'NAME' });
}

/** The command that tries again what was refused. */
export function retryCommand(table: AddedTable & Pick<TargetTable, 'target'>): string {
  const { name, route, loader, target } = table;
  const isKnown = loader === undefined || route === undefined || route.loaders.some((each) => each.name === loader);
  if (isKnown) return `pg2click resume ${shellName(name)}`;
  if (isReplayName(loader)) return `the same pg2click replay ${shellName(name)}`;
  return `pg2click loader add ${shellName(name)} ${loader} --target ${target.database}.${target.table}${serverOption(table)}`;
}

function serverOption({ connection }: AddedTable): string {
  return connection === undefined ? '' : ` --server ${connection}`;
}
