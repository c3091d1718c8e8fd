import { Option } from 'commander';
import { COPY_PRIORITIES } from '../domain/copy-priority.js';

/** @param standard what holds without it */
export function priorityOption(standard: string): Option {
  return new Option(
    '--priority <priority>',
    `when copies wait for their turn: high goes first, low last (${standard})`,
  ).choices(COPY_PRIORITIES);
}
