import { readdirSync, readFileSync } from 'node:fs';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import { pino } from 'pino';
import { beforeAll, expect, it } from 'vitest';
import { installRuntime } from '../../src/worker/runtime.js';
import { bundleWorkflows } from '../support/workflow-bundle.js';

/*
 * Histories of real runs, which today's workflow must still be able to go on from: a table lives longer than a release.
 *
 * Record them with the code of a release, never with the code under test, or this proves nothing:
 *   npm run record-history -- WORKFLOW_ID test/fixtures/histories/<release>-<what it shows>.json
 * takes the life of a table from a server; with the workflow's own tests instead of a table:
 *   git checkout v<release>
 *   PG2CLICK_RECORD_HISTORIES=<folder> npx vitest run test/integration/replicate-table.temporal.test.ts
 * and copy those that show something new to test/fixtures/histories/<release>-<what it shows>.json. When a change of the
 * workflow breaks one, put the change behind `patched()`; never record it again.
 */
const FOLDER = new URL('../fixtures/histories/', import.meta.url);
const names = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
let workflowBundle: WorkflowBundle;

beforeAll(async () => {
  installRuntime({ log: pino({ level: 'silent' }) });
  workflowBundle = await bundleWorkflows();
});

function read(name: string): { events: Record<string, unknown>[] } {
  return JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as { events: Record<string, unknown>[] };
}

it.each(names)('%s can still be replayed', async (name) => {
  await Worker.runReplayHistory({ workflowBundle }, read(name));
});

it.each(names)('%s is refused with an activity swapped: the replay has teeth', async (name) => {
  const history = JSON.stringify(read(name));
  const swapped = history.replaceAll('"publishSlice"', '"loadSlice"').replaceAll('"prepareTable"', '"removeTable"');
  expect(swapped).not.toBe(history);
  await expect(Worker.runReplayHistory({ workflowBundle }, JSON.parse(swapped))).rejects.toThrow(/TMPRL1100/u);
});

it.each(names.filter((name) => name.includes('-real-')))('%s tells nothing of the machine it was made on', (name) => {
  const told: string[] = [];
  JSON.stringify(read(name), (key, value: unknown) => {
    if (['identity', 'stackTrace'].includes(key)) told.push(String(value));
    return value;
  });
  expect(new Set(told.filter((text) => text !== ''))).toEqual(new Set(['worker']));
});
