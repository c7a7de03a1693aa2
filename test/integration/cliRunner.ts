/** Runs the command line: in this process with its output kept, or as a process of its own. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { CliContext } from '../../src/cli/context.js';
import { runCli } from '../../src/cli/program.js';

export interface CliRun {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export async function cli(
  env: Readonly<Record<string, string>>,
  parameters: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<CliRun> {
  let [out, err] = ['', ''];
  const context: CliContext = {
    env: { PATH: process.env['PATH'], ...env },
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    isTerminal: false,
    interruption: () => signal,
  };
  const code = await runCli(parameters, context);
  return { code, out, err };
}

const MAIN = path.join(import.meta.dirname, '../../dist/cli/main.js');

/** The compiled program. `close`: closes its output at once, as `| true` does. */
export async function cliProcess(
  env: Readonly<Record<string, string>>,
  parameters: readonly string[],
  { close = false }: { readonly close?: boolean } = {},
): Promise<CliRun & { readonly ms: number }> {
  const began = performance.now();
  const child = spawn(process.execPath, [MAIN, ...parameters], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stderr.on('data', (data: Buffer) => (err += data.toString()));
  if (close) child.stdout.destroy();
  else child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err, ms: performance.now() - began };
}
