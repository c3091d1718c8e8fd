import { expect, it } from 'vitest';
import { splitHostPort } from '../../src/connect/host-port.js';

it.each([
  ['localhost:80', { host: 'localhost', port: 80 }],
  ['[::1]:80', { host: '::1', port: 80 }],
  ['0.0.0.0:9464', { host: '0.0.0.0', port: 9_464 }],
  ['temporal.example', { host: 'temporal.example', port: 7_233 }],
  ['[::1]', { host: '::1', port: 7_233 }],
])('%s is a host and a port', (address, parts) => {
  expect(splitHostPort(address, 7_233)).toEqual(parts);
});
