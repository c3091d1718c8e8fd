/**
 * Orders everything that may insert into a target: `generation << 96 | claim << 32 | take-over`, a UInt128. The generation rises when
 * the table is added again, the claim with each attempt of the stage, and the take-over when an attempt sends a batch once more.
 */
export type FenceEpoch = bigint;

const GENERATION_SHIFT = 96n;
const CLAIM_SHIFT = 32n;
const MOST_TAKE_OVERS = (1n << CLAIM_SHIFT) - 1n;

/**
 * @param claim of the stage, decimal; the ledger has 63 bits for it
 * @throws RangeError where an attempt has taken over more than 2^32 times
 */
export function fenceEpoch(generation: number, claim: string, takeOver: number): FenceEpoch {
  if (BigInt(takeOver) > MOST_TAKE_OVERS) throw new RangeError(`take-over ${takeOver} does not fit 32 bits`);
  return (BigInt(generation) << GENERATION_SHIFT) | (BigInt(claim) << CLAIM_SHIFT) | BigInt(takeOver);
}

export function generationOfEpoch(epoch: FenceEpoch): number {
  return Number(epoch >> GENERATION_SHIFT);
}
