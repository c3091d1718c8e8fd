import { pino } from 'pino';
import { expect, it } from 'vitest';
import { TYPE_NUMBERS, type TemporalServices } from '../../src/control/search-attributes.js';
import { SEARCH_ATTRIBUTES } from '../../src/domain/search-attributes.js';
import { SearchAttributeWatch } from '../../src/worker/search-attributes.js';

const ALL = Object.fromEntries(Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => [name, TYPE_NUMBERS[type]]));
const { Pg2clickPhase: _, ...OTHERS } = ALL;

/** A namespace that takes no more attributes. @param answers of the lists in turn; what follows them gets no answer */
function watchOf(...answers: readonly Readonly<Record<string, number>>[]): SearchAttributeWatch {
  const left = [...answers];
  const refuse = (code: number) => (): Promise<never> => Promise.reject(Object.assign(new Error('no'), { code }));
  const services = {
    operatorService: {
      listSearchAttributes: () => {
        const customAttributes = left.shift();
        return customAttributes === undefined ? refuse(14)() : Promise.resolve({ customAttributes });
      },
      addSearchAttributes: refuse(8),
    },
    workflowService: { countWorkflowExecutions: refuse(14) },
  };
  return new SearchAttributeWatch(services as unknown as TemporalServices, 'default', pino({ level: 'silent' }));
}

it('what a namespace lacks is not known before it has answered', async () => {
  const watch = watchOf();
  await watch.look();
  expect(watch.lacking()).toBeUndefined();
});

it('a namespace that lacks nothing lacks nothing, also while it does not answer', async () => {
  const watch = watchOf(ALL);
  await watch.look();
  await watch.look();
  expect(watch.lacking()).toEqual([]);
});

it('what was found to be lacking is lacking until the namespace says otherwise', async () => {
  const watch = watchOf(OTHERS);
  await watch.look();
  expect(watch.lacking()).toEqual(['Pg2clickPhase']);
  await watch.look();
  expect(watch.lacking()).toEqual(['Pg2clickPhase']);
});
