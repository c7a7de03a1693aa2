/** `redis-fleet restore`: names, options and help. */

import { InvalidArgumentError, type Command } from 'commander';
import type { RestoreOptions } from './commands/restore.js';
import type { CliContext } from './context.js';
import { DETACH, FILE, JSON_OUTPUT } from './options.js';
import type { SetExitCode } from './program.js';

export function registerRestore(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  program
    .command('restore')
    .argument('<database>', 'the database whose backup is restored')
    .description(
      'Bring data back from a backup, in place or as a new database; also where both copies are lost',
    )
    .option('--from <backup>', 'this backup, by its id or key (default: the newest that is verified)')
    .option('--as-of <time>', 'the newest backup whose data is not younger, e.g. 2026-01-31T12:00:00Z')
    .option('--into <name>', 'as a new database of this name, beside the old one (default: in place)')
    .option('--server <server>', 'where the new database shall be (default: where the old one is)')
    .option('--port <port>', 'of the new database (default: one that nobody has)', port)
    .option(
      '--host <host>',
      'in place: which of its hosts shall lead (default: the one that the record names)',
    )
    .option('--approve', 'approve beforehand that the data is replaced; needs --reason')
    .option('--reason <text>', 'why the data may be replaced')
    .option('--by <name>', 'who approves it (default: $USER)')
    .option('--dry-run', 'only say which backup it would be, and how old')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(async (database: string, options: RestoreOptions) => {
      const { restoreCommand } = await import('./commands/restore.js');
      setExitCode(await restoreCommand(context, database, options));
    });
}

function port(value: string): number {
  const read = Number(value);
  if (/^\d+$/.test(value) && read >= 1_024 && read <= 65_535) return read;
  throw new InvalidArgumentError('It is a number from 1024 to 65535.');
}
