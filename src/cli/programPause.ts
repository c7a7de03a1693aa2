/** The command that pauses writes: names, options and help. */

import { InvalidArgumentError, type Command } from 'commander';
import { DEFAULT_PAUSE_S, LONGEST_PAUSE_S, PAUSE_FORKS } from '../fleet/pausedFork.js';
import type { PauseWritesOptions } from './commands/pauseWrites.js';
import type { CliContext } from './context.js';
import { DETACH, FILE, JSON_OUTPUT } from './options.js';
import type { SetExitCode } from './program.js';

export function registerPausing(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  program
    .command('pause-writes')
    .argument('[database]', 'the database whose writes shall wait')
    .description('The last resort of a full host: let a leader fork while its writes wait; asks first')
    .option('--host <host>', 'all databases that this host leads, one after the other')
    .option(
      '--seconds <seconds>',
      `how long writes may wait (default: ${DEFAULT_PAUSE_S}, at most ${LONGEST_PAUSE_S})`,
      pauseSeconds,
    )
    .option(
      '--fork <what>',
      `what the leader does meanwhile: ${PAUSE_FORKS.join(', ')} (default: save, its data file; follower: it fills its follower)`,
    )
    .option('--approve', 'approve beforehand that writes wait; needs --reason')
    .option('--reason <text>', 'why writes may wait')
    .option('--by <name>', 'who approves it (default: $USER)')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(async (database: string | undefined, options: PauseWritesOptions) => {
      const { pauseWritesCommand } = await import('./commands/pauseWrites.js');
      setExitCode(await pauseWritesCommand(context, database, options));
    });
}

/** Of `--seconds`, and of `--pause-writes`. */
export function pauseSeconds(value: string): number {
  const read = Number(value);
  if (/^\d+$/.test(value) && read >= 1 && read <= LONGEST_PAUSE_S) return read;
  throw new InvalidArgumentError(`It is a whole number of seconds from 1 to ${LONGEST_PAUSE_S}.`);
}
