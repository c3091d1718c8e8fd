import type { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type { SliceRequest, TableAddress } from '../domain/receipt.js';
import { formatTableName } from '../domain/table-name.js';
import { toApplicationFailure } from '../failure/application-failure.js';
import type { Meters } from '../observe/meters.js';

/** Activities throw `Failure`s and know nothing of Temporal's: here, at their door, one becomes the other, and is counted. */
export function failureInterceptor(meters: Meters): ActivityInterceptorsFactory {
  return (context: Context) => ({
    inbound: {
      async execute(input, next) {
        try {
          return await next(input);
        } catch (error) {
          const failure = toApplicationFailure(error, context.info.activityType);
          // What is no ApplicationFailure is a cancellation.
          if (failure instanceof ApplicationFailure) {
            const request = input.args[0] as TableAddress & Partial<SliceRequest>;
            meters.add('pg2click_slice_failures_total', 1, {
              pipeline: request.pipeline,
              table: formatTableName(request),
              task: request.stage ?? context.info.activityType.replace(/(?:Slice|Table)$/u, ''),
              kind: failure.type ?? 'Unexpected',
            });
          }
          throw failure;
        }
      },
    },
  });
}
