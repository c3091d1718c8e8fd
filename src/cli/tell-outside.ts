import { chalkStderr } from 'chalk';
import type { Queryable } from '../connect/queryable.js';
import { columnType } from '../domain/column-type.js';
import { sqlName } from '../domain/table-name.js';
import { findOutside, type ExaminedTable } from '../source/catalog/find-outside.js';
import type { Session } from './session.js';

/** Such rows are refused, one by one, and nobody has asked for that yet: said before the first of them is met. */
export async function tellOutside(session: Session, source: Queryable, table: ExaminedTable): Promise<void> {
  for (const column of await findOutside(source, table)) {
    const { name, policy } = column;
    const { clickhouse, outside } = columnType(column);
    const ways = outside?.policies.filter((each) => each !== 'refuse').join(' or ') ?? '';
    const advice = `Such a row is set aside in quarantine. To let them in, add it with --policy ${name}=POLICY, where POLICY is ${ways}.`;
    session.tell(
      `${chalkStderr.yellow(`${sqlName(table.name)}: column ${name}`)} has values that ${clickhouse({ ...column, nullable: false })} has no place for: ${outside?.words ?? ''}. ` +
        (policy === undefined ? advice : `They are refused, as its policy says.`),
    );
  }
}
