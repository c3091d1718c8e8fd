import { describeDeployment, type Deployment } from '../src/domain/deployment.js';
import { firstLoader, type ReplicatedTable } from '../src/domain/replicated-table.js';
import { kafkaOf } from '../src/domain/route.js';
import { formatTableName, shellName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';

/**
 * A database that was copied brings its ledger with it, and the ledger names the topic and the target of the original: both
 * deployments would write there.
 * @throws Failure `TargetTaken`
 */
export function requireOwnTable({ owner, name, route }: ReplicatedTable, own: Deployment): void {
  if (owner === undefined || owner.id === own.id) return;
  const title = formatTableName(name);
  const command = shellName(name);
  const { database, table } = firstLoader({ route }).target;
  const topic = kafkaOf(route)?.topic;
  const theirs = [...(topic === undefined ? [] : [`the topic ${topic}`]), `the target ${database}.${table}`].join(
    ' and ',
  );
  throw new Failure('TargetTaken', {
    message:
      `${title} was added by deployment ${describeDeployment(owner)}, and this is deployment ${describeDeployment(own)}: its ` +
      `ledger is a copy. To the other deployment belong ${theirs}.`,
    remedy:
      `Run pg2click remove ${command}, which leaves them alone. Then add it with names that are free: ` +
      `pg2click add ${command}${topic === undefined ? '' : ' --topic NAME'} --target NAME`,
  });
}
