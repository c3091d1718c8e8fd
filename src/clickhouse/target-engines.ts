import { Registry } from '../pipeline/registry.js';
import { engineOf, type LoaderSpec } from '../domain/route.js';
import { log, mergeTree } from './append/merge-tree.js';
import { replacing } from './replacing.js';
import type { TargetEngine } from './target-engine.js';

/** To add an engine: a file that exports a `TargetEngine`, and its name in this list. */
export const TARGET_ENGINES = new Registry<TargetEngine>('engine', [replacing, mergeTree, log]);

/** @throws Failure `Misconfigured` for an engine of another release */
export function targetEngine(loader: Pick<LoaderSpec, 'engine'>): TargetEngine {
  return TARGET_ENGINES.named(engineOf(loader));
}
