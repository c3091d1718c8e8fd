import { openLiveText } from '../../src/cli/live-text.js';
import type { ServerName } from '../../src/settings/server-name.js';
import { SERVERS, type Stack, type StackEvent } from './stack.js';

/** In a log, what a server is at is said this seldom. */
const LINE_EVERY_MS = 15_000;
const MARKS = { ready: '✔', died: '✖', failed: '✖', stopped: '■' } as const;

/** Shows a stack's events. */
export interface Progress {
  readonly report: (event: StackEvent) => void;
  /** Leaves the last picture standing; later events are single lines. */
  readonly close: () => void;
}

/**
 * On a terminal one moving line a server. Elsewhere one line for each that is ready or fails, and every 15 s one for each that is
 * still at something.
 * @param out where it is written, standard output as a rule
 */
export function showProgress(out: NodeJS.WriteStream): Progress {
  const states = new Map<ServerName, StackEvent>();
  const startedAt = Date.now();
  const live = openLiveText(out, (frame) =>
    [
      ...[...states.values()].map((event) => `${markOf(event) ?? frame} ${label(event.server)}  ${describe(event)}`),
      `  ${seconds(Date.now() - startedAt)}`,
    ].join('\n'),
  );
  const line = (event: StackEvent): void => void out.write(`${SERVERS[event.server].title}: ${describe(event)}\n`);
  const signOfLife = (): void => [...states.values()].filter(({ kind }) => kind === 'step').forEach(line);
  const timer = live === undefined ? setInterval(signOfLife, LINE_EVERY_MS) : undefined;
  let open = true;
  return {
    report(event) {
      if (event.kind === 'note') {
        if (open && live !== undefined) live.persist(event.text);
        else line(event);
        return;
      }
      states.set(event.server, event);
      if (open && live !== undefined) live.repaint();
      else if (event.kind !== 'step') line(event);
    },
    close() {
      open = false;
      clearInterval(timer);
      live?.close(true);
    },
  };
}

function markOf({ kind }: StackEvent): string | undefined {
  return kind === 'step' || kind === 'note' ? undefined : MARKS[kind];
}

/**
 * The table of addresses, for a person; passwords stay in stack.json.
 * @param which `servers`: those that were started; `external`: those that the user has
 */
export function addressTable(
  stack: Stack,
  { servers, external }: { readonly servers: readonly ServerName[]; readonly external: ReadonlySet<ServerName> },
): string {
  const { postgres, kafka, clickhouse, temporal } = stack.addresses;
  const line = (server: ServerName, text: string): string[] =>
    servers.includes(server) || external.has(server)
      ? [`${label(server)}  ${text}${external.has(server) ? '  (yours)' : ''}`]
      : [];
  return [
    ...line('postgres', `${postgres.host}:${postgres.port}  database ${postgres.database}, user ${postgres.user}`),
    ...line('kafka', kafka.bootstrap),
    ...line('clickhouse', `${clickhouse.url}  database ${clickhouse.database}, user ${clickhouse.user}`),
    ...line('temporal', `${temporal.address}  namespace ${temporal.namespace}`),
    ...(temporal.uiUrl === '' ? [] : [`${'Temporal UI'.padEnd(11)}  ${temporal.uiUrl}`]),
  ].join('\n');
}

function describe(event: StackEvent): string {
  switch (event.kind) {
    case 'ready':
      return event.external ? 'yours is used' : `ready in ${seconds(event.elapsedMs)}`;
    case 'stopped':
      return 'stopped';
    case 'step':
    case 'note':
    case 'died':
    case 'failed':
      return event.text;
    default:
      return event satisfies never;
  }
}

function label(server: ServerName): string {
  return SERVERS[server].title.padEnd(11);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}
