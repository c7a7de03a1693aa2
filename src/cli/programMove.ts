/** The command that moves a database: its name, options and help. */

import { InvalidArgumentError, type Command } from 'commander';
import type { MoveOptions } from './commands/move.js';
import type { CliContext } from './context.js';
import { DETACH, FILE, JSON_OUTPUT } from './options.js';
import type { SetExitCode } from './program.js';
import { pauseSeconds } from './programPause.js';

export function registerMove(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  program
    .command('move')
    .argument('<database>', 'the database that shall run on other hosts')
    .description('Move a database to other hosts while it is written to; its leader does not fork')
    .option('--to <server>', 'both hosts of this server; its first one leads')
    .option('--leader <host>', 'the host that shall lead')
    .option('--follower <host>', 'the host of its follower; with --leader, instead of --to')
    .option('--port <port>', 'of the new processes (default: that of the leader, where it is free)', portOf)
    .option('--bandwidth <size>', 'bytes a second that the copy may take, e.g. 50MiB (default: no limit)')
    .option(
      '--pause-writes <seconds>',
      "where the follower can fork in no other way: its leader's writes may wait for that so long",
      pauseSeconds,
    )
    .option('--approve-pause', 'approve beforehand that writes wait for the copy; needs --reason')
    .option('--reason <text>', 'why the pause is approved')
    .option('--by <name>', 'who approves it (default: $USER)')
    .option('--expected-leader <host>', 'refuse when another host leads')
    .option('--ask', 'prepare everything, and wait for approval before the new leader takes over')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(async (database: string, options: MoveOptions) => {
      const { moveCommand } = await import('./commands/move.js');
      setExitCode(await moveCommand(context, database, options));
    });
}

function portOf(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is a number.');
}
