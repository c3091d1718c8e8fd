import { Option, type Command } from 'commander';
import { CAPTURE_KINDS, ENGINES, LOADER_KINDS, MESSAGE_FORMATS, PAYLOADS, TRANSPORTS } from '../domain/route.js';
import { given } from '../domain/given.js';
import type { TableOptions } from '../domain/replicated-table.js';

/** The options that choose the way of a table's rows. */
export type RouteOptions = Pick<TableOptions, 'capture' | 'transport' | 'loader' | 'payload' | 'engine' | 'format'>;

/** Adds the options that choose the way of rows: the same ones wherever a command takes them. */
export function withRouteOptions(command: Command): Command {
  const options = [
    new Option(
      '--capture <capture>',
      'how changes are seen: outbox (triggers), wal (no trigger) or debezium (a topic that it writes): every change; poll or notify: tables that only grow',
    ).choices(CAPTURE_KINDS),
    new Option(
      '--transport <transport>',
      'kafka, or direct into ClickHouse (default: direct for poll and notify)',
    ).choices(TRANSPORTS),
    new Option('--loader <loader>', 'who inserts what is in Kafka: our worker, or ClickHouse itself').choices(
      LOADER_KINDS,
    ),
    new Option('--payload <payload>', 'what a message holds: the row, or its key (the loader reads the row)').choices(
      PAYLOADS,
    ),
    new Option(
      '--format <format>',
      'of the messages in Kafka: json, avro (a row each; avro needs a schema registry), packed (many rows), or debezium (its envelopes)',
    ).choices(MESSAGE_FORMATS),
    new Option(
      '--engine <engine>',
      'of the ClickHouse table: replacing, merge-tree for a table that only grows, or log for a row for each change',
    ).choices(ENGINES),
  ];
  for (const option of options) command.addOption(option);
  return command;
}

/** Those that were given. */
export function routeOptionsOf({ capture, transport, loader, payload, engine, format }: RouteOptions): RouteOptions {
  return given({ capture, transport, loader, payload, engine, format });
}
