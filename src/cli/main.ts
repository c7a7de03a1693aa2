#!/usr/bin/env node
import process from 'node:process';
import { processContext } from './context.js';
import { runCli } from './program.js';

const code = await runCli(process.argv.slice(2), processContext());
// A daemon may have set its own.
if (code !== 0) process.exitCode = code;
