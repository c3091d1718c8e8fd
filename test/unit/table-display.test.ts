import { describe, expect, it } from 'vitest';
import { currentDetails, searchAttributesOf, statusOf, summaryOf } from '../../workflows/display.js';
import { reduce } from '../../workflows/table-state.js';
import {
  after,
  AT,
  copied,
  parked,
  paused,
  prepared,
  removeRequested,
  removed,
  sliceEnded,
} from '../support/table-events.js';

const address = { pipeline: 'default', schema: 'public', table: 'orders' };
const streaming = after(
  prepared,
  copied,
  sliceEnded('publish', { rows: 1_234_567, moved: 'seq 1..9', bytes: 5_000_000 }),
  sliceEnded('load:main', { lagSeconds: 12.4, waiting: 3 }),
);

describe('the current details', () => {
  it('say phase, last move, lag, rows and what to send', () => {
    const page = currentDetails(streaming, address);
    expect(page).toContain('### public.orders → ClickHouse `default.orders`: **streaming**');
    expect(page).toContain('First load: 1,000 rows, 64 kB in 0.5 s.');
    expect(page).toMatch(/\| publish \| `seq 1\.\.9` at \S+ \| 1,234,567 \| 1 \| 5\.0 MB \| 0 \| 0 s \|/u);
    expect(page).toMatch(/\| load:main \|.*\| 3 \| 12 s \|/u);
    expect(page).toContain('`pause`');
  });

  it('say what is wrong and what to do about it', () => {
    const page = currentDetails(after(prepared, copied, parked('load:main', 'RowRefused')), address);
    expect(page).toContain(`> **load:main: RowRefused** since ${AT}`);
    expect(page).toContain('> **What to do:** Do something.');
    expect(page).toContain('`resume`');
  });

  it('say which change waits for resume, and which was refused last', () => {
    const terms = { from: '1', to: '10' };
    const change = { requestId: 'r', at: AT, task: 'startBackfill', terms } as const;
    const failure = { kind: 'Misconfigured', message: 'No key.', remedy: 'Give one.' } as const;
    const waiting = { ...after(prepared, copied, paused), change };
    expect(currentDetails(waiting, address)).toContain(
      `Waits since ${AT}: backfill, from 1 to 10. It goes on after the signal \`resume\`, the signal \`cancelBackfill\` withdraws it.`,
    );
    const refused = reduce(
      { ...streaming, change },
      { type: 'failed', at: AT, where: 'startBackfill', failure, parked: true },
    );
    expect(currentDetails(refused, address)).toContain(
      `> **backfill, from 1 to 10: refused (Misconfigured)** at ${AT}`,
    );
    expect(currentDetails({ ...refused, change }, address)).not.toContain('refused');
  });

  it('leave no room for the markup of others', () => {
    const hostile = { type: 'paused', at: AT, reason: '# a\n| b | <script> `c` [d](e)' } as const;
    const page = currentDetails(after(prepared, hostile), address);
    expect(page).toContain(String.raw`\# a \| b \| \<script\> \`c\` \[d\](e)`);
  });

  it('are written for every phase', () => {
    for (const events of [[], [prepared], [paused], [removeRequested()], [removeRequested(), removed]])
      expect(currentDetails(after(...events), address)).toMatch(/^### public\.orders/u);
  });
});

describe('the search attributes', () => {
  it('name table, pipeline, phase, lag and failure', () => {
    expect(searchAttributesOf(streaming, address)).toEqual({
      Pg2clickTable: 'public.orders',
      Pg2clickPipeline: 'default',
      Pg2clickPhase: 'streaming',
      Pg2clickLagSeconds: 12,
      Pg2clickFailure: null,
    });
    expect(searchAttributesOf(after(prepared, parked('load:main', 'RowRefused')), address).Pg2clickFailure).toBe(
      'RowRefused',
    );
  });
});

describe('the summary of an activity', () => {
  it('says where it starts', () => {
    expect(summaryOf('publish', after(prepared), address)).toBe('publish from the start');
    expect(summaryOf('publish', streaming, address)).toBe('publish after batch 1');
    expect(summaryOf('load:main', streaming, address)).toBe('load:main after batch 1');
    expect(summaryOf('copy', after(prepared), address)).toBe('copy public.orders');
  });

  it('stays below the 200 bytes that the server takes, for the longest names too', () => {
    const long = { pipeline: 'default', schema: '"'.repeat(63), table: 'ü'.repeat(31) };
    for (const task of ['prepare', 'copy', 'publish', 'load:main', 'remove'])
      expect(Buffer.byteLength(summaryOf(task, streaming, long))).toBeLessThanOrEqual(200);
  });
});

describe('the status', () => {
  it('is plain JSON', () => {
    const status = statusOf(streaming, address, ['publish', 'load:main']);
    expect(JSON.parse(JSON.stringify(status))).toEqual(status);
    expect(status).toMatchObject({
      ...address,
      phase: 'streaming',
      runs: 1,
      lagSeconds: 12.4,
      running: ['publish', 'load:main'],
    });
  });
});
