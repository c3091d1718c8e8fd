import { describe, expect, it } from 'vitest';
import { CAPTURE_KINDS, LOADER_KINDS, stagesOf } from '../../src/domain/route.js';
import { refusalOf } from '../../src/domain/route-refusal.js';
import { allChoices, routeOf, type RouteChoice } from '../../src/domain/route-choice.js';

const KINDS = { captures: CAPTURE_KINDS, loaders: LOADER_KINDS };
const routes = allChoices().map((choice) => ({ name: nameOf(choice), choice, route: routeOf(choice) }));
const refused = routes.filter(({ route }) => refusalOf(route, KINDS) !== undefined);

it('thirty-five ways work', () => {
  const works = routes.filter((each) => !refused.includes(each)).map(({ name }) => name);
  expect(works).toEqual([
    'outbox kafka worker row json replacing',
    'outbox kafka worker row packed replacing',
    'outbox kafka worker row avro replacing',
    'outbox kafka worker row debezium replacing',
    'outbox kafka worker key json replacing',
    'outbox kafka kafka-engine row json replacing',
    'outbox kafka kafka-engine row avro replacing',
    'outbox direct worker replacing',
    ...['poll', 'notify'].flatMap((capture) => [
      `${capture} kafka worker row json replacing`,
      `${capture} kafka worker row packed replacing`,
      `${capture} kafka worker row avro replacing`,
      `${capture} kafka worker row debezium replacing`,
      `${capture} kafka kafka-engine row json replacing`,
      `${capture} kafka kafka-engine row avro replacing`,
      `${capture} direct worker replacing`,
      `${capture} direct worker merge-tree`,
    ]),
    'wal kafka worker row json replacing',
    'wal kafka worker row packed replacing',
    'wal kafka worker row avro replacing',
    'wal kafka worker row debezium replacing',
    'wal kafka worker key json replacing',
    'wal kafka kafka-engine row json replacing',
    'wal kafka kafka-engine row avro replacing',
    'wal direct worker replacing',
    'wal direct worker log',
    'debezium kafka worker row json replacing',
    'debezium kafka kafka-engine row json replacing',
  ]);
});

describe('every other way is refused by a reason, and the nearest way that works', () => {
  it.each(refused)('$name', ({ choice, route }) => {
    const sentences = refusalOf(route, KINDS)?.split(/(?<=\.) /u) ?? [];
    expect(sentences).toHaveLength(2);
    for (const way of (sentences[1] ?? '').replace(/\.$/u, '').split(', or '))
      expect(refusalOf(routeOf({ ...choice, ...optionsIn(way) }), KINDS)).toBeUndefined();
  });
});

/** `outbox kafka worker row json replacing` */
function nameOf({ capture, transport, loader, payload, format, engine }: RouteChoice): string {
  return [capture, transport, loader, ...(transport === 'kafka' ? [payload, format] : []), engine].join(' ');
}

/** `Use --transport kafka with --loader worker` */
function optionsIn(text: string): Partial<RouteChoice> {
  return Object.fromEntries([...text.matchAll(/--(\w+) (\S+)/gu)].map(([, axis, value]) => [axis, value]));
}

describe('the stages of a way', () => {
  const stages = (capture: object, kind: 'kafka' | 'direct') =>
    stagesOf({ capture, transport: { kind }, loaders: [{ name: 'main' }] }).map(({ id }) => id);

  it('are a first load, and both sides of the topic', () => {
    expect(stages({}, 'kafka')).toEqual(['copy', 'publish', 'load:main']);
  });

  it('are one stage after the first load where there is no topic', () => {
    expect(stages({}, 'direct')).toEqual(['copy', 'direct:main']);
  });

  it('have no first load where the capture reads from the first row', () => {
    expect(stages({ appendOnly: true }, 'kafka')).toEqual(['publish', 'load:main']);
    expect(stages({ appendOnly: true }, 'direct')).toEqual(['direct:main']);
  });

  it('have no first load where every change is kept: the log begins with the rows', () => {
    expect(stages({ everyChange: true }, 'direct')).toEqual(['direct:main']);
  });

  it('have no publishing where others write the topic', () => {
    expect(stages({ foreignTopic: true }, 'kafka')).toEqual(['copy', 'load:main']);
  });
});
