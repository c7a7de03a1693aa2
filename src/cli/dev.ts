/** `redis-fleet dev`: a whole fleet on this machine, in the foreground, until a signal. */

import path from 'node:path';
import process from 'node:process';
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import type { DevFleet } from '../dev/startDev.js';

interface DevCommandOptions {
  readonly file?: string;
  readonly data?: string;
  readonly apply: boolean;
  readonly temporalPort?: number;
  readonly uiPort?: number;
  readonly consulPort?: number;
  readonly json?: boolean;
}

export function registerDev(program: Command): void {
  program
    .command('dev')
    .description(
      'Run a whole fleet on this machine: Temporal, Consul, a worker, an agent per host, and Redis',
    )
    .option(
      '--file <file>',
      'fleet file (default: REDIS_FLEET_FILE, else fleet.yaml); loopback addresses only',
    )
    .option('--data <dir>', 'where all data, logs and credentials are kept (default: .redis-fleet/<fleet>)')
    .option('--no-apply', 'start everything, but provision nothing')
    .option('--temporal-port <port>', 'of Temporal (default: 7233, or a free one)', port)
    .option('--ui-port <port>', "of Temporal's UI (default: 8233, or a free one)", port)
    .option('--consul-port <port>', "of Consul's HTTP API and UI (default: 8500, or a free one)", port)
    .option('--json', 'one JSON object a line: {"event":…} while it starts, then {"ready":{…}}')
    .addHelpText(
      'after',
      `
It runs until Ctrl-C or SIGTERM. Then it stops everything, Redis with its data saved, and the next \`redis-fleet dev\`
on the same directory starts it all again. What dies meanwhile is started again, except Redis: a leader reborn empty
would wipe its follower, so bringing a process back is a runbook (redis-fleet bring-up).

Environment:
  REDIS_FLEET_BIN_TEMPORAL, REDIS_FLEET_BIN_CONSUL, REDIS_FLEET_BIN_REDIS_SERVER   programs (default: those on PATH)`,
    )
    .action((options: DevCommandOptions) => run(options));
}

async function run(options: DevCommandOptions): Promise<void> {
  const { startDev } = await import('../dev/startDev.js');
  const stopping = new AbortController();
  const tell = teller(options.json === true);
  const interrupt = (signal: NodeJS.Signals): void => {
    tell(
      stopping.signal.aborted
        ? 'already stopping: Redis saves its data first'
        : `${signal}: stopping everything, Redis with its data saved`,
    );
    stopping.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  process.on('SIGHUP', interrupt);
  const aborted = new Promise<void>((resolve) =>
    stopping.signal.addEventListener('abort', () => resolve(), { once: true }),
  );
  let dev: DevFleet;
  try {
    dev = await startDev({
      file: options.file ?? process.env['REDIS_FLEET_FILE'] ?? 'fleet.yaml',
      ...(options.data === undefined ? {} : { data: options.data }),
      ports: {
        ...(options.temporalPort === undefined ? {} : { temporal: options.temporalPort }),
        ...(options.uiPort === undefined ? {} : { temporalUi: options.uiPort }),
        ...(options.consulPort === undefined ? {} : { consul: options.consulPort }),
      },
      apply: options.apply,
      // Not being provisioned is no reason to take away the logs' subject: it is told, and the rest goes on.
      keepGoing: true,
      tell,
      signal: stopping.signal,
    });
  } catch (error) {
    // A start that a person ended has stopped everything already.
    if (stopping.signal.aborted) return;
    throw error;
  }
  if (options.json === true) process.stdout.write(`${JSON.stringify({ ready: summary(dev) })}\n`);
  else process.stdout.write(welcome(dev));
  await aborted;
  await dev.stop();
  tell('stopped');
}

function teller(json: boolean): (line: string) => void {
  const started = performance.now();
  return (line) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    process.stdout.write(
      json ? `${JSON.stringify({ event: line })}\n` : `${seconds.padStart(6)} s  ${line}\n`,
    );
  };
}

function summary(dev: DevFleet): unknown {
  return {
    fleet: dev.fleet.name,
    ...dev.addresses,
    data: dev.data.root,
    logs: dev.data.logs,
    env: dev.data.env,
  };
}

function welcome(dev: DevFleet): string {
  const shown = (file: string): string => {
    const relative = path.relative(process.cwd(), file);
    return relative.startsWith('..') ? file : relative;
  };
  return `
Fleet ${dev.fleet.name} runs on this machine.

  Temporal UI   ${dev.addresses.temporalUi}
  Consul UI     ${dev.addresses.consulUi}
  Logs          ${shown(dev.data.logs)}

In another shell:

  source ${shown(dev.data.env)}
  redis-fleet status

Ctrl-C stops everything, Redis with its data saved.

`;
}

function port(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number > 0 && number < 65_536) return number;
  throw new InvalidArgumentError('Expected a port number from 1 to 65535.');
}
