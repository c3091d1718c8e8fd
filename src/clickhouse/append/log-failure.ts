import { Failure } from '../../failure/failure.js';
import { targetNames, type Target } from '../names.js';

/** Of a command that reads rows of PostgreSQL again. */
export function logFailure(target: Target): Failure {
  const { shown } = targetNames(target);
  return new Failure('Misconfigured', {
    message: `${shown} is a log: its rows are changes, and rows that are read again are none.`,
    remedy: 'Nothing was changed. If changes are missing, remove the table and add it again with another --target.',
  });
}
