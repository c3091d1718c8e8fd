import type { Random } from '../../demo/random.js';
import type { Proxies } from '../../network/proxied.js';
import type { Proxy } from '../../network/proxy.js';
import { away, seconds, type Fault, type Scene } from '../fault.js';

const SERVERS = ['postgres', 'kafka', 'clickhouse', 'temporal'] as const satisfies readonly (keyof Proxies)[];

/** What lies between one worker or both, and one server. */
function someNetwork({ ground: { workers } }: Scene, random: Random): { title: string; proxies: readonly Proxy[] } {
  const server = random.pick(SERVERS);
  const which = random.below(workers.length + 1);
  const cut = which === workers.length ? workers : workers.slice(which, which + 1);
  return {
    title: `between ${cut.map(({ name }) => name).join(' and ')} and ${server}`,
    proxies: cut.map(({ proxies }) => proxies[server]),
  };
}

/** @param breaks what happens to each connection, until it passes again */
function networkFault(
  name: string,
  summary: string,
  [least, most]: readonly [number, number],
  breaks: (proxy: Proxy) => unknown,
): Fault {
  return {
    name,
    summary,
    track: 'machines',
    draw(scene, random) {
      const { title, proxies } = someNetwork(scene, random);
      const lasting = seconds(random, least, most);
      return {
        title: `${summary} ${title}, for ${lasting} s`,
        async run() {
          await Promise.all(proxies.map((proxy) => breaks(proxy)));
          await away(scene, lasting);
          await Promise.all(proxies.map((proxy) => proxy.pass()));
        },
      };
    },
  };
}

export const NETWORK_FAULTS: readonly Fault[] = [
  networkFault('cut', 'connections refused', [5, 40], (proxy) => proxy.refuse()),
  networkFault('black-hole', 'a black hole', [5, 40], (proxy) => proxy.freeze()),
  networkFault('strand', 'open connections forgotten', [5, 20], (proxy) => proxy.strand()),
  networkFault('reset', 'open connections reset', [0, 0], (proxy) => proxy.cut()),
  networkFault('slow', 'each piece held up for 150 ms', [10, 40], (proxy) => proxy.slow(150)),
];
