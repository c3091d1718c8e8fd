import { InvalidArgumentError } from 'commander';

/** @throws InvalidArgumentError */
export function readMilliseconds(written: string): number {
  const value = Number(written);
  if (Number.isInteger(value) && value >= 10 && value <= 3_600_000) return value;
  throw new InvalidArgumentError('Give milliseconds, from 10 to 3600000.');
}
