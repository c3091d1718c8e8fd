/**
 * An error and the errors inside it, outermost first. Of an aggregate (`localhost` is tried by IPv6 and IPv4) the first one. Bounded,
 * because causes may form a circle.
 */
export function errorChain(error: unknown): object[] {
  const chain: object[] = [];
  let link: unknown = error;
  while (typeof link === 'object' && link !== null && chain.length < 10) {
    chain.push(link);
    // kafkajs says originalError in some places.
    const { cause, errors, originalError } = link as { cause?: unknown; errors?: unknown; originalError?: unknown };
    link = Array.isArray(errors) && errors.length > 0 ? errors[0] : (cause ?? originalError);
  }
  return chain;
}
