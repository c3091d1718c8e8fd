import { SERVER_NAMES, type ServerName } from '../../src/settings/server-name.js';
import { SERVERS, type Stack, type StackEvent } from './stack.js';

/** In a log, a step that only counts on is repeated this seldom. */
const REPEAT_EVERY_MS = 10_000;
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** Shows a stack's events. */
export interface Progress {
  readonly report: (event: StackEvent) => void;
  /** Leaves the last picture standing; later events are single lines. */
  readonly close: () => void;
}

/**
 * On a terminal one moving line a server, elsewhere one line for each thing that happens.
 * @param out where it is written, standard output as a rule
 */
export async function showProgress(out: NodeJS.WriteStream): Promise<Progress> {
  const lines = { report: lineByLine(out), close: () => undefined };
  if (!out.isTTY) return lines;
  const { createLogUpdate } = await import('log-update');
  const picture = createLogUpdate(out);
  const states = new Map<ServerName, { readonly text: string; readonly mark?: string }>();
  const startedAt = Date.now();
  const paint = () => {
    const frame = SPINNER[Math.floor(Date.now() / 100) % SPINNER.length] ?? '';
    picture(
      SERVER_NAMES.flatMap((server) => {
        const state = states.get(server);
        return state === undefined ? [] : [`${state.mark ?? frame} ${label(server)}  ${state.text}`];
      }).join('\n') + `\n  ${seconds(Date.now() - startedAt)}`,
    );
  };
  const timer = setInterval(paint, 100);
  let live = true;
  return {
    report: (event) => {
      if (!live) return lines.report(event);
      if (event.kind === 'note') {
        picture.clear();
        out.write(`${event.text}\n`);
      } else {
        const mark = { step: undefined, ready: '✔', died: '✖', failed: '✖', stopped: '■' }[event.kind];
        states.set(event.server, { text: describe(event), ...(mark === undefined ? {} : { mark }) });
      }
      paint();
    },
    close: () => {
      if (!live) return;
      live = false;
      clearInterval(timer);
      paint();
      picture.done();
    },
  };
}

/** The table of addresses, for a person; passwords stay in stack.json. */
export function addressTable(stack: Stack, external: ReadonlySet<ServerName>): string {
  const { postgres, kafka, clickhouse, temporal } = stack.addresses;
  const yours = (server: ServerName) => (external.has(server) ? '  (yours)' : '');
  return [
    `${label('postgres')}  ${postgres.host}:${postgres.port}  database ${postgres.database}, user ${postgres.user}${yours('postgres')}`,
    `${label('kafka')}  ${kafka.bootstrap}${yours('kafka')}`,
    `${label('clickhouse')}  ${clickhouse.url}  database ${clickhouse.database}, user ${clickhouse.user}${yours('clickhouse')}`,
    `${label('temporal')}  ${temporal.address}  namespace ${temporal.namespace}${yours('temporal')}`,
    ...(temporal.uiUrl === '' ? [] : [`${'Temporal UI'.padEnd(11)}  ${temporal.uiUrl}`]),
  ].join('\n');
}

function lineByLine(out: NodeJS.WriteStream): (event: StackEvent) => void {
  const last = new Map<ServerName, { readonly subject: string; readonly at: number }>();
  return (event) => {
    if (event.kind === 'step') {
      // "downloading: 3 files" and "downloading: 4 files" are one subject.
      const subject = event.text.split(':')[0] ?? '';
      const before = last.get(event.server);
      if (before?.subject === subject && Date.now() - before.at < REPEAT_EVERY_MS) return;
      last.set(event.server, { subject, at: Date.now() });
    }
    out.write(`${SERVERS[event.server].title}: ${describe(event)}\n`);
  };
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
