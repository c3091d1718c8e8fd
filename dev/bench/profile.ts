import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The parts of a `.cpuprofile` that we read. Times are microseconds of the monotonic clock. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

export interface SelfTime {
  /** `encode (kafkajs/src/protocol/encoder.js:71)` */
  readonly name: string;
  readonly milliseconds: number;
  /** Of the time in which the thread did anything. */
  readonly share: number;
}

/** What the profiler calls the time in which the thread waited. */
const WAITING: ReadonlySet<string> = new Set(['(idle)']);

/** Functions by the time spent in themselves, most first. @param window monotonic microseconds, the whole profile by default */
export function topSelfTime(
  profile: CpuProfile,
  most: number,
  window: { readonly from: number; readonly to: number } = { from: 0, to: Infinity },
): readonly SelfTime[] {
  const names = new Map(profile.nodes.map((node) => [node.id, nameOf(node)]));
  const spent = new Map<string, number>();
  let at = profile.startTime;
  let worked = 0;
  for (const [index, id] of profile.samples.entries()) {
    // A sample stands for the time until the next one.
    at += profile.timeDeltas[index] ?? 0;
    const lasted = profile.timeDeltas[index + 1] ?? 0;
    const name = names.get(id);
    if (name === undefined || WAITING.has(name) || at < window.from || at >= window.to) continue;
    spent.set(name, (spent.get(name) ?? 0) + lasted);
    worked += lasted;
  }
  return [...spent]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, most)
    .map(([name, microseconds]) => ({ name, milliseconds: microseconds / 1_000, share: microseconds / worked }));
}

/** The profile of the main thread of a process that has ended; undefined where it left none. */
export function readProfile(folder: string, pid: number): CpuProfile | undefined {
  // CPU.<date>.<time>.<pid>.<thread>.<number>.cpuprofile; the main thread is 0, workflows have threads of their own.
  const name = readdirSync(folder).find((file) => new RegExp(`\\.${pid}\\.0\\.\\d+\\.cpuprofile$`, 'u').test(file));
  return name === undefined ? undefined : (JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile);
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const path = url
    .replace(/^file:\/\//u, '')
    .replace(/^.*\/node_modules\//u, '')
    .replace(/^.*\/dist\//u, '');
  return `${name} (${path}:${lineNumber + 1})`;
}
