import type { MessageFormat } from '../../domain/route.js';
import type { Envelope } from './envelope.js';
import { JsonEnvelope } from './json.js';
import { PackedEnvelope } from './packed.js';

export function envelopeFor(format: MessageFormat, partitions: number): Envelope {
  switch (format) {
    case 'json':
      return new JsonEnvelope(partitions);
    case 'packed':
      return new PackedEnvelope(partitions);
    default:
      return format satisfies never;
  }
}
