/** `redis-fleet agent`: the host agent in the foreground, until a signal. */

import process from 'node:process';
import type { Command } from 'commander';

const DEFAULT_DATA = '/var/lib/redis-fleet';

interface AgentCommandOptions {
  readonly host: string;
  readonly data?: string;
  readonly file?: string;
}

export function registerAgent(program: Command): void {
  program
    .command('agent')
    .description('Run the agent of one host: it starts and stops Redis there, and reports')
    .requiredOption('--host <name>', "this host's name in the fleet file")
    .option(
      '--data <dir>',
      `where the processes' directories are (default: REDIS_FLEET_DATA, else ${DEFAULT_DATA})`,
    )
    .option('--file <file>', 'fleet file (default: REDIS_FLEET_FILE, else fleet.yaml)')
    .option('--json', 'the log on stderr is one JSON object a line, with or without this')
    .addHelpText(
      'after',
      `
It runs until SIGTERM or SIGINT, then finishes or hands back what it holds. It never stops or restarts Redis by
itself: processes outlive it, and it finds them again.

Environment:
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE, …   where Temporal is
  CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, …                      where the local Consul agent is
  REDIS_FLEET_CREDENTIALS                                     file with the passwords of Redis's users
  REDIS_FLEET_BIN_REDIS_SERVER                                the program, when it is not on PATH
  REDIS_FLEET_LOG_LEVEL                                       trace, debug, info, warn, error`,
    )
    .action(async ({ host, data, file }: AgentCommandOptions) => {
      const { spareMemory } = await import('../host/spareMemory.js');
      spareMemory();
      // The SDK's native part is heavy: other commands start without it.
      const [{ runAgent }, { createLog }, { releaseRuntime }, { stopOnSignals }] = await Promise.all([
        import('../workers/agent.js'),
        import('../connections/log.js'),
        import('../workers/runtime.js'),
        import('../workers/stopSignals.js'),
      ]);
      const log = createLog(`agent ${host}`, process.env);
      const signal = stopOnSignals(log);
      try {
        await runAgent({
          env: process.env,
          host,
          data: data ?? process.env['REDIS_FLEET_DATA'] ?? DEFAULT_DATA,
          log,
          signal,
          ...(file === undefined ? {} : { fleetFile: file }),
        });
      } finally {
        await releaseRuntime();
      }
      process.exitCode = 0;
    });
}
