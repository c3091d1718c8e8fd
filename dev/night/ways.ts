import { LOADERS } from '../../src/clickhouse/loaders.js';
import { allChoices, routeOf, type RouteChoice } from '../../src/domain/route-choice.js';
import type { LoaderKind } from '../../src/domain/route.js';
import { refusalOf } from '../../src/domain/route-refusal.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { CAPTURES } from '../../src/source/captures.js';

/** Every combination of capture, transport, loader, payload, format and engine that `add` takes. */
export function workingChoices(): readonly RouteChoice[] {
  const kinds = { captures: CAPTURES.kinds, loaders: LOADERS.kinds };
  return allChoices().filter((choice) => refusalOf(routeOf(choice), kinds) === undefined);
}

/** `outbox kafka worker row json replacing` */
export function titleOf(choice: RouteChoice | undefined): string {
  return choice === undefined ? '' : Object.values(choice).join(' ');
}

/** What `add` is told for it. */
export function optionsOf({ capture, transport, loader, payload, format, engine }: RouteChoice): TableOptions {
  const messages = transport === 'kafka' ? { payload, format } : {};
  return { capture, transport, loader: loader as LoaderKind, engine, ...messages };
}
