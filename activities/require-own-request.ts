import type { TableAddress } from '../src/domain/receipt.js';
import { describeDeployment } from '../src/domain/deployment.js';
import { formatTableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import type { Deps } from './deps.js';

/**
 * A request of another deployment is refused, whatever the queue that it came by: its table may exist here too. Retried, so
 * that a worker of the right deployment gets it.
 * @throws Failure `WrongWorker`; those of PostgreSQL, which is asked who it is once
 */
export async function requireOwnRequest(deps: Deps, request: TableAddress): Promise<void> {
  const own = await deps.deployment();
  if (request.pipeline === own.pipeline && (request.deployment ?? own.id) === own.id) return;
  const asked = `deployment ${request.deployment ?? 'unknown'} (pipeline ${request.pipeline})`;
  throw new Failure('WrongWorker', {
    message: `${formatTableName(request)} belongs to ${asked}, and this worker serves deployment ${describeDeployment(own)}.`,
  });
}
