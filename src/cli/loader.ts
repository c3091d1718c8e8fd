import { Command } from 'commander';
import { lazily } from './session.js';

export function loaderCommand(): Command {
  const loader = new Command('loader')
    .summary('load the topic of a table into several targets')
    .description(
      'A table that goes through Kafka may have several loaders: each reads the same topic, at its own pace, into a table of its own. ' +
        'The first one is called main.',
    )
    .addHelpText(
      'after',
      `
Examples:
  pg2click loader add shop.orders eu --server eu
  pg2click loader list shop.orders
  pg2click loader pause shop.orders eu --reason "maintenance"
  pg2click loader remove shop.orders eu --drop-target`,
    );
  for (const command of [add(), list(), pause(), resume(), remove()])
    loader.addCommand(command.copyInheritedSettings(loader));
  return loader;
}

function add(): Command {
  return new Command('add')
    .summary('add a loader, which copies the table first')
    .description(
      'Adds a loader to a live table. Its target gets a copy of the table, and every change from then on; the other loaders go on.',
    )
    .argument('<table>')
    .argument('<name>', 'lower-case letters, digits and "-"')
    .option('--target <table>', 'table or database.table in ClickHouse; the name of the first target by default')
    .option('--server <name>', 'another ClickHouse: eu is that of CH_URL_EU')
    .option('--json', 'print the result as one JSON object')
    .action(lazily(async () => (await import('./change-loaders.js')).addLoader));
}

function list(): Command {
  return new Command('list')
    .summary('show the loaders of a table')
    .argument('<table>')
    .option('--json', 'print one JSON object')
    .action(lazily(async () => (await import('./list-loaders.js')).listLoaders));
}

function pause(): Command {
  return new Command('pause')
    .summary('stop one loader for a while')
    .description('Pauses one loader: it finishes the batch in hand. Its messages wait in Kafka; the others go on.')
    .argument('<table>')
    .argument('<name>')
    .option('--reason <text>', 'shown with the pause')
    .option('--json', 'print the answer as one JSON object')
    .action(lazily(async () => (await import('./change-loaders.js')).pauseLoader));
}

function resume(): Command {
  return new Command('resume')
    .summary('go on with one loader')
    .description('Ends the pause of a loader, and tries again where it is parked.')
    .argument('<table>')
    .argument('<name>')
    .option('--json', 'print the answer as one JSON object')
    .action(lazily(async () => (await import('./change-loaders.js')).resumeLoader));
}

function remove(): Command {
  return new Command('remove')
    .summary('end a loader')
    .description(
      'Ends a loader. The topic stays, and its ClickHouse table too, unless --drop-target is given. The last loader of a table ' +
        'cannot be removed.',
    )
    .argument('<table>')
    .argument('<name>')
    .option('--drop-target', 'drop its ClickHouse table, floor and view, as far as pg2click made them')
    .option('--json', 'print the result as one JSON object')
    .action(lazily(async () => (await import('./change-loaders.js')).removeLoader));
}
