import type { Context } from '@temporalio/activity';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import { toApplicationFailure } from '../failure/application-failure.js';

/** Activities throw `Failure`s and know nothing of Temporal's: here, at their door, one becomes the other. */
export const failureInterceptor: ActivityInterceptorsFactory = (context: Context) => ({
  inbound: {
    async execute(input, next) {
      try {
        return await next(input);
      } catch (error) {
        throw toApplicationFailure(error, context.info.activityType);
      }
    },
  },
});
