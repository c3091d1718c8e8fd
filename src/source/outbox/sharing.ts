import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { copyAgainRemedy } from '../../failure/remedies.js';
import type { OutboxSharing } from '../capture.js';
import { fingerprintTable, type Fingerprint } from '../catalog/fingerprint.js';
import { explainTriggers } from '../catalog/fingerprint-difference.js';
import { installOutbox, removeOutbox } from './install.js';
import { captureFormOf } from './capture-form.js';

/**
 * Triggers beside another capture. The lock under which they are made is granted when every writer before has ended, and their event is
 * part of the transaction that fires them: nothing has to be waited for.
 */
export const outboxSharing: OutboxSharing = {
  async begin(_, pg, table, options) {
    const text = await installOutbox(pg, { ...table, ...captureFormOf(table) }, options);
    return { triggers: (JSON.parse(text) as Fingerprint).triggers };
  },

  catchUp: () => Promise.resolve(),

  async verify({ source }, table) {
    const change = explainTriggers(table.fingerprint, await fingerprintTable(source, table));
    if (change === '') return;
    throw new Failure('SourceChanged', {
      message: `Changes of ${formatTableName(table.name)} may be missing: ${change}.`,
      remedy: copyAgainRemedy(table, { dropTarget: false }),
    });
  },

  end: (_, pg, table, options) => removeOutbox(pg, table, { ...options, keepsOutbox: true }),
};
