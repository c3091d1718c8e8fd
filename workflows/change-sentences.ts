import { plural } from '../src/domain/figures.js';
import type { LoaderReceipt, QuarantineReceipt } from '../src/domain/receipt.js';
import type { Change } from './changes.js';

/* What was made, as it is said to people. */

export function sentenceOf(change: Change | null, { dropped, kept }: LoaderReceipt): string {
  if (change?.task === 'addLoader') return `Loader ${change.loader.name} is added, and copies the table.`;
  const isNothing = dropped.length === 0 && kept.length === 0;
  if (change?.task === 'removeLoader' && change.withdraws === true && isNothing)
    return `Loader ${change.name} is not added: the request is withdrawn. An empty ClickHouse table may be left of it.`;
  const went = dropped.length === 0 ? '' : ` Dropped in ClickHouse: ${dropped.join(', ')}.`;
  const stays = kept.map(({ name, why }) => ` ${name} stays: ${why}.`).join('');
  return `Loader ${change?.task === 'removeLoader' ? change.name : ''} is removed.${went}${stays}`;
}

export function quarantineSentence(
  change: Change | null,
  { retried, refused, dropped, open }: QuarantineReceipt,
): string {
  const rest = open === 0 ? 'None is left in quarantine.' : `${plural(open, 'row')} still in quarantine.`;
  if (change?.task === 'dropQuarantined') return `${plural(dropped, 'row')} dropped from the quarantine. ${rest}`;
  const still = refused === 0 ? '' : ` ClickHouse refuses ${plural(refused, 'row')} as before.`;
  return `${plural(retried, 'row')} inserted again.${still} ${rest}`;
}

export function keptSentence(change: Change | null): string {
  if (change?.task === 'dropKept') return `${change.names.join(', ')} is dropped.`;
  if (change?.task !== 'keepLonger') return '';
  return `${change.name} is kept until ${change.until ?? 'somebody drops it'}.`;
}
