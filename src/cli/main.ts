#!/usr/bin/env node
import { createProgram } from './program.js';

// `pg2click status | head` is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

await createProgram().parseAsync();
