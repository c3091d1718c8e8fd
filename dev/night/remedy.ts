/** A command that a remedy prints: for the shell, or for PostgreSQL. */
export type Step = { readonly pg2click: readonly string[] } | { readonly sql: string };

/**
 * What a person does who follows a remedy to the letter: its commands in their order, up to the first other way out. Where it names a
 * table in general (TABLE), or only says to resume or to remove and add, that is done with this one.
 * @param name what takes the place of NAME, which a person chooses
 */
export function stepsOf(
  remedy: string,
  { table, name, again }: { readonly table: string; readonly name: string; readonly again: readonly string[] },
): readonly Step[] {
  const [first = ''] = remedy.split(/(?<=[.;])\s+(?:Or|Only if)\b/u);
  const steps: Step[] = [];
  for (const [found] of first.matchAll(
    /Run in PostgreSQL[^:]*: [^.]+(?:\.\w[^.]*)*|pg2click [a-z]+(?: [^\s,:;]+)*/gu,
  )) {
    if (found.startsWith('Run in')) {
      steps.push({ sql: found.slice(found.indexOf(':') + 1).trim() });
      continue;
    }
    const words = found.replace(/\.$/u, '').split(' ').slice(1);
    const [verb = ''] = words;
    if (VERBS.has(verb)) steps.push({ pg2click: words.map((word) => chosen(word, table, name)) });
  }
  const isSaid = (verb: string): boolean => steps.some((step) => 'pg2click' in step && step.pg2click.includes(verb));
  if (!isSaid('remove') && /\bremove the table/iu.test(first))
    steps.push(
      { pg2click: ['remove', table, ...(first.includes('--drop-target') ? ['--drop-target'] : [])] },
      {
        pg2click: ['add', table, ...again],
      },
    );
  if (!isSaid('remove') && !isSaid('resume') && !isSaid('add')) steps.push({ pg2click: ['resume', table] });
  return steps;
}

const VERBS = new Set(['remove', 'add', 'resume', 'resync', 'backfill', 'configure', 'init', 'loader', 'quarantine']);

function chosen(word: string, table: string, name: string): string {
  if (word === 'TABLE') return table;
  return word.replaceAll(/\bNAME\b/gu, name).replaceAll(/^'|'$/gu, '');
}
