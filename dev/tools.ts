import type { DevTools } from '../src/cli/dev-tools.js';

// Loaded when they are called: `pg2click dev` needs no demo.

export const runDev: DevTools['runDev'] = async ({ settings, ports, ...options }) => {
  const [{ runDev: run }, { externalServers }] = await Promise.all([
    import('./stack/dev.js'),
    import('./stack/external.js'),
  ]);
  const given = Object.fromEntries(Object.entries(ports).filter(([, port]) => port !== undefined));
  await run({ ...options, ports: given, external: externalServers(settings) });
};

export const runDemo: DevTools['runDemo'] = async (options) => {
  const { runDemo: run } = await import('./demo/demo.js');
  return run(options);
};
