/** `redis-fleet worker`: the control worker in the foreground, until a signal. */

import process from 'node:process';
import type { Command } from 'commander';

interface WorkerOptions {
  readonly file?: string;
}

export function registerWorker(program: Command): void {
  program
    .command('worker')
    .description('Run the control worker: the procedures, and what needs only the network')
    .option('--file <file>', 'fleet file (default: REDIS_FLEET_FILE, else fleet.yaml)')
    .option('--json', 'the log on stderr is one JSON object a line, with or without this')
    .addHelpText(
      'after',
      `
It runs until SIGTERM or SIGINT, then finishes or hands back what it holds. Start as many as you like.

Environment:
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE, …   where Temporal is
  CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, …                      where Consul is
  REDIS_FLEET_CREDENTIALS                                     file with the passwords of Redis's users
  REDIS_FLEET_METRICS                                         serve metrics for Prometheus there, e.g. 127.0.0.1:9464
  REDIS_FLEET_LOG_LEVEL                                       trace, debug, info, warn, error`,
    )
    .action(async ({ file }: WorkerOptions) => {
      // The SDK's native part is heavy: other commands start without it.
      const [{ runControlWorker }, { createLog }, { releaseRuntime }, { stopOnSignals }] = await Promise.all([
        import('../workers/control.js'),
        import('../connections/log.js'),
        import('../workers/runtime.js'),
        import('../workers/stopSignals.js'),
      ]);
      const log = createLog('worker', process.env);
      const signal = stopOnSignals(log);
      try {
        await runControlWorker({
          env: process.env,
          log,
          signal,
          ...(file === undefined ? {} : { fleetFile: file }),
        });
      } finally {
        await releaseRuntime();
      }
    });
}
