import { quoteCh } from '../../../src/domain/identifier.js';
import { away, freeTable, persist, seconds, type Fault, type Scene } from '../fault.js';

function command({ ground }: Scene, query: string): Promise<unknown> {
  return persist(() => ground.clickhouse.command({ query }));
}

const manyParts: Fault = {
  name: 'many-parts',
  summary: 'a ClickHouse table refuses inserts: too many parts',
  track: 'tables',
  draw(scene, random) {
    const table = freeTable(scene, random);
    if (table === undefined) return undefined;
    const lasting = seconds(random, 10, 30);
    const target = quoteCh(table.target);
    return {
      title: `${table.name} (${table.title}): too many parts for ${lasting} s`,
      table,
      async run() {
        await command(
          scene,
          `alter table ${target} modify setting parts_to_delay_insert = 1, parts_to_throw_insert = 1`,
        );
        await away(scene, lasting);
        await command(scene, `alter table ${target} reset setting parts_to_delay_insert, parts_to_throw_insert`);
      },
    };
  },
};

const stopMerges: Fault = {
  name: 'stop-merges',
  summary: 'SYSTEM STOP MERGES',
  track: 'tables',
  draw(scene, random) {
    const lasting = seconds(random, 20, 60);
    return {
      title: `no merges for ${lasting} s`,
      async run() {
        await command(scene, 'system stop merges');
        await away(scene, lasting);
        await command(scene, 'system start merges');
      },
    };
  },
};

export const SINK_FAULTS: readonly Fault[] = [manyParts, stopMerges];
