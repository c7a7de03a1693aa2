/** Commands that use backups: names, options and help. */

import { InvalidArgumentError, type Command } from 'commander';
import type { DrillOptions } from './commands/drill.js';
import type { RestoreOptions } from './commands/restore.js';
import type { CliContext } from './context.js';
import type { SetExitCode } from './program.js';

const FILE = ['-f, --file <file>', 'the fleet file (default: REDIS_FLEET_FILE, else fleet.yaml)'] as const;
const JSON_OUTPUT = ['--json', 'print one JSON document instead of text'] as const;
const DETACH = ['--detach', 'start it, and do not wait for its end'] as const;

/** After those that take backups, whose group the drill belongs to. */
export function registerRestoring(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  registerRestore(program, context, setExitCode);
  const backups =
    program.commands.find((command) => command.name() === 'backups') ??
    program.command('backups').description('What there is of backups, and what they are worth');
  registerDrill(backups, context, setExitCode);
}

function registerRestore(program: Command, context: CliContext, setExitCode: SetExitCode): void {
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

function registerDrill(backups: Command, context: CliContext, setExitCode: SetExitCode): void {
  backups
    .command('drill')
    .argument('[database]', 'only this one, due or not (default: all that are due)')
    .description('Restore backups for real, into processes of their own, and look at what comes of them')
    .option('--host <host>', 'where (default: the host with the most room)')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(async (database: string | undefined, options: DrillOptions) => {
      const { drillCommand } = await import('./commands/drill.js');
      setExitCode(await drillCommand(context, database, options));
    });
}

function port(value: string): number {
  const read = Number(value);
  if (/^\d+$/.test(value) && read >= 1_024 && read <= 65_535) return read;
  throw new InvalidArgumentError('It is a number from 1024 to 65535.');
}
