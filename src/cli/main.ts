#!/usr/bin/env node
import process from 'node:process';
import { processContext } from './context.js';
import { runCli } from './program.js';

const code = await runCli(process.argv.slice(2), processContext());
if (code !== null) {
  process.exitCode = code;
  // Not by itself: a client library may still try again what nobody waits for.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}
