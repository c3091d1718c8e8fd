import chalk from 'chalk';
import type { FailureView, StageView, TableView } from '../control/table-view.js';
import { plural } from '../domain/figures.js';
import { inShell } from '../domain/table-name.js';

/** What holds a table up or was set aside, and the way out: lines below its own. */
export function troubleOf(view: TableView): string[] {
  const { table, phase, failure, stages } = view;
  const aside = [...stages.flatMap(asideText), ...quarantineText(view), ...detachedText(view), ...changeText(view)];
  if (phase === 'stopped' && failure === null)
    return [
      `  ${chalk.red('its workflow does not run')}: "pg2click add ${inShell(table)}" starts it again, "remove" ends it.`,
    ];
  if (failure === null) return aside;
  if (failure.task === null && !failure.retrying && failure.kind === 'Misconfigured')
    return [`  ${chalk.red(failure.message)}`, `  ${chalk.dim('→')} ${failure.remedy}`, ...aside];
  return [`  ${failureText(failure)}: ${failure.message}`, `  ${chalk.dim('→')} ${failure.remedy}`, ...aside];
}

/** They are not loaded, and nothing stops for them: so they are said with every picture. */
function asideText({ id, errors }: StageView): string[] {
  if (errors === null || errors.messages === 0) return [];
  return [
    `  ${chalk.red(`${id} could not load ${plural(errors.messages, 'message')}`)}: kept in ${errors.table}`,
    `  ${chalk.dim('→')} in ClickHouse: select topic, partition, offset, error from ${errors.table} final order by time`,
  ];
}

/** Also of a table that is paused, or parked for something else. */
function detachedText({ slot, failure }: TableView): string[] {
  if (slot === null || slot.detached === null || failure?.kind === 'Detached') return [];
  const { at, why, remedy } = slot.detached;
  return [`  ${chalk.red(`detached from the WAL since ${at}`)}: ${why}`, `  ${chalk.dim('→')} ${remedy}`];
}

function quarantineText({ table, quarantined }: TableView): string[] {
  if (quarantined === 0) return [];
  return [
    `  ${chalk.yellow(`${plural(quarantined, 'row')} in quarantine`)}: ClickHouse refuses them, and the others go on`,
    `  ${chalk.dim('→')} pg2click quarantine list ${table}`,
  ];
}

/** A change that waits, and one that was refused: a signal has nobody else to answer to. */
function changeText({ table, change, refused }: TableView): string[] {
  const waits = change?.waits === true ? `waits since ${change.since}: the table is paused` : undefined;
  const takeBack = change === null || change.withdrawal === null ? '' : `, or withdraw it: ${change.withdrawal}`;
  return [
    ...(change === null || waits === undefined
      ? []
      : [
          `  ${chalk.yellow(change.what)} ${waits}`,
          `  ${chalk.dim('→')} pg2click resume ${inShell(table)}${takeBack}`,
        ]),
    ...(refused === null
      ? []
      : [
          `  ${chalk.yellow(`${refused.what}: refused (${refused.kind})`)} at ${refused.at}: ${refused.message}`,
          `  ${chalk.dim('→')} ${refused.remedy}`,
        ]),
  ];
}

function failureText({ task, kind, since, retrying, attempt, worker }: FailureView): string {
  const what = task ?? 'the table';
  const by = worker === null ? '' : `, by worker ${worker}`;
  if (retrying)
    return chalk.yellow(`${what} is being retried (${attempt === null ? '' : `attempt ${attempt}, `}${kind}${by})`);
  return chalk.red(`${what} is parked (${kind}${since === null ? '' : `, since ${since}`}${by})`);
}
