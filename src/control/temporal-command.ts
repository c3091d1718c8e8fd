import { shellWord } from '../domain/table-name.js';

/**
 * A command of Temporal's own program, to be pasted. Without the namespace it would mean the one that the person's own settings name, and
 * what it removes or ends there may be another's.
 */
export function temporalCommand(words: string, namespace: string): string {
  return `temporal ${words} --namespace ${shellWord(namespace)}`;
}
