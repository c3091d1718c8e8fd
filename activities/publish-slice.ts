import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import { PUBLISH_STAGE, requireKafka } from '../src/domain/route.js';
import { TopicBatchWriter } from '../src/topic/topic-batch-writer.js';
import { lastRecords } from '../src/topic/last-headers.js';
import { requireClaim } from '../src/ledger/stages.js';
import { rowContentOf } from '../src/messages/formats.js';
import { messageColumns } from '../src/domain/column-type.js';
import { avroFormOf } from './avro-form.js';
import type { OutboxPosition } from '../src/source/outbox/steps.js';
import type { Deps } from './deps.js';
import { runStageSlice } from './run-stage-slice.js';

/** A batch that is read and sent reports more often, with slow servers too: without progress for this long a connection is dead. */
const STALL_TIMEOUT_MS = 60_000;

/**
 * Publish: the table's capture -> its topic. A crash between any two steps leaves a named batch, which is sent again: the topic
 * may hold a row twice, never miss one.
 */
export async function publishSlice(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  return runStageSlice(
    deps,
    request,
    PUBLISH_STAGE,
    async (context) => {
      const { table, claim, row } = context;
      const { capture } = table.route;
      const transport = requireKafka(table.route);
      const content = rowContentOf(transport);
      return {
        source: deps.captures.named(capture.kind).open(deps, context, content),
        writer: new TopicBatchWriter(await deps.publisher(), transport, {
          written: {
            topic: transport.topic,
            table,
            origin: (await deps.deployment()).id,
            reader: deps.reader(transport.topic, { subscriber: `${table.id}/end`, form: lastRecords }),
            requireClaim: () => requireClaim(deps.ledger, claim),
          },
          mayBeAhead: row.pending !== null || (row.position as OutboxPosition).forgotten !== undefined,
          shape: table.shape,
          from: {
            pipeline: table.pipeline,
            database: deps.settings.postgres.database,
            ...table.name,
            key: table.key,
            appendOnly: capture.appendOnly === true,
          },
          columns: content.rows === 'text' ? messageColumns(table) : undefined,
          avro: await avroFormOf(deps, table),
          throttle: deps.throttles.publish,
        }),
      };
    },
    { stallTimeoutMs: STALL_TIMEOUT_MS },
  );
}
