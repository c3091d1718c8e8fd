import { describe, expect, it } from 'vitest';
import { CAPTURE_KINDS, LOADER_KINDS, type Route } from '../../src/domain/route.js';
import { refusalOfChange, type RouteOptions } from '../../src/domain/route-change.js';
import { reasonAgainst } from '../../src/domain/route-refusal.js';
import { wayOut, wayToTopic } from '../../src/domain/way-out.js';

const kinds = { captures: CAPTURE_KINDS, loaders: LOADER_KINDS };
const main = { kind: 'worker', name: 'main', target: { database: 'd', table: 't' } };
const outbox: Route = {
  capture: { kind: 'outbox', triggerLevel: 'statement' },
  transport: { kind: 'kafka', topic: 't', partitions: 3, format: 'json', payload: 'row' },
  loaders: [main],
};
const engine: Route = { ...outbox, loaders: [{ ...main, kind: 'kafka-engine' }] };
const two: Route = { ...outbox, loaders: [main, { ...main, name: 'eu' }] };
const direct: Route = { ...outbox, transport: { kind: 'direct' } };
const poll = { kind: 'poll', appendOnly: true, cursor: 'id' };
const plain: Route = { capture: poll, transport: { kind: 'direct' }, loaders: [{ ...main, engine: 'merge-tree' }] };
const foreign: Route = {
  ...outbox,
  capture: { kind: 'debezium', foreignTopic: true },
  transport: { ...outbox.transport, partitions: 1 } as Route['transport'],
};
const polled: Route = { ...plain, loaders: [main] };

const name = { schema: 'public', table: 'x' };

function out(route: Route, wanted: Route, asked: RouteOptions): string {
  expect(reasonAgainst(wanted, kinds) ?? refusalOfChange(route, wanted, asked), 'it is refused').toBeDefined();
  return wayOut({ table: { name, key: ['id'], route }, asked, wanted, kinds });
}

describe('the way to what a change refuses is whole:', () => {
  it.each<[string, Route, Route, RouteOptions, string]>([
    [
      'direct, from the Kafka engine',
      engine,
      { ...engine, transport: { kind: 'direct' } },
      { transport: 'direct' },
      'Run pg2click remove public.x, then pg2click add public.x --target d.t --key id --transport direct',
    ],
    [
      'direct, with two loaders',
      two,
      { ...two, transport: { kind: 'direct' } },
      { transport: 'direct' },
      'Run pg2click loader remove public.x eu, then pg2click configure public.x --transport direct',
    ],
    [
      'outbox, from a plain MergeTree',
      plain,
      { ...plain, capture: outbox.capture },
      { capture: 'outbox' },
      'Run pg2click remove public.x, then pg2click add public.x --target NAME --key id --transport direct',
    ],
    [
      'the topic of somebody else',
      outbox,
      { ...outbox, capture: foreign.capture },
      { capture: 'debezium' },
      'Run pg2click remove public.x, then pg2click add public.x --target d.t --topic TOPIC --key id --capture debezium --transport kafka --format json',
    ],
    [
      'outbox, from the topic of somebody else',
      foreign,
      { ...foreign, capture: outbox.capture },
      { capture: 'outbox' },
      'Run pg2click remove public.x, then pg2click add public.x --target d.t --key id --transport kafka --format json',
    ],
    [
      'another engine',
      polled,
      plain,
      { engine: 'merge-tree' },
      'Run pg2click remove public.x, then pg2click add public.x --target NAME --key id --capture poll --transport direct --engine merge-tree',
    ],
    [
      'another topic',
      outbox,
      { ...outbox, transport: { ...outbox.transport, topic: 'u' } as Route['transport'] },
      { topic: 'u' },
      'Run pg2click configure public.x --transport direct, then pg2click configure public.x --topic u --transport kafka --format json',
    ],
    [
      'poll without a word',
      direct,
      polled,
      { capture: 'poll' },
      'Run pg2click configure public.x --capture poll --append-only',
    ],
    [
      'poll and another transport at once',
      outbox,
      polled,
      { capture: 'poll', transport: 'direct', appendOnly: true },
      'Run pg2click configure public.x --transport direct, then pg2click configure public.x --capture poll --append-only',
    ],
    [
      'another cursor',
      polled,
      { ...polled, capture: { ...poll, kind: 'notify', cursor: 'n' } },
      { capture: 'notify', cursor: 'n' },
      'Run pg2click remove public.x, then pg2click add public.x --target d.t --key id --capture notify --cursor n --transport direct',
    ],
    [
      'keys, of packed messages',
      outbox,
      { ...outbox, transport: { ...outbox.transport, payload: 'key', format: 'packed' } as Route['transport'] },
      { payload: 'key', format: 'packed' },
      'Run pg2click configure public.x --format packed',
    ],
  ])('%s', (_, route, wanted, asked, way) => {
    expect(out(route, wanted, asked)).toBe(way);
  });

  it('wishes that exclude each other, of a table that cannot be changed, lead to the nearest ways there are', () => {
    const asked = { transport: 'direct', loader: 'kafka-engine' } as const;
    expect(out(engine, { ...engine, transport: { kind: 'direct' } }, asked)).toBe(
      'Use --transport kafka, or --loader worker',
    );
  });

  it('the loaders of a table that is added again are named', () => {
    const both = { ...engine, loaders: [...engine.loaders, { ...main, name: 'eu' }] };
    expect(out(both, { ...both, transport: { kind: 'direct' } }, { transport: 'direct' })).toMatch(
      /--transport direct\. Then add its loaders again: eu\.$/u,
    );
  });
});

describe('the way to a second loader, of a table without a topic,', () => {
  it.each([
    ['is a change where loaders copy', direct, 'Run pg2click configure public.x --transport kafka --format json'],
    [
      'is to be added again where they do not: the topic must hold all rows',
      plain,
      'Run pg2click remove public.x, then pg2click add public.x --target NAME --key id --capture poll --transport kafka --format json',
    ],
  ])('%s', (_, route, way) => {
    expect(wayToTopic({ table: { name, key: ['id'], route }, kinds })).toBe(way);
  });
});
