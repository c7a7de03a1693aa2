/** `redis-fleet backups …`: names, options and help. */

import type { Command } from 'commander';
import type { CliContext } from './context.js';
import { DETACH, FILE, JSON_OUTPUT } from './options.js';
import type { SetExitCode } from './program.js';
import type { DrillOptions } from './commands/drill.js';
import type { ExpireOptions } from './commands/backups.js';
import type { TakeOptions } from './commands/takeBackups.js';

interface Common {
  readonly file?: string;
  readonly json?: boolean;
}

const STORE = `
The store is that of the applied fleet (backups.store). An S3 store is opened with the credentials that the AWS SDK
finds. Encrypted backups are read with REDIS_FLEET_BACKUP_IDENTITIES_FILE. A store that is a relative directory lies in
REDIS_FLEET_BACKUP_ROOT.`;

export function registerBackups(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  const backups = program
    .command('backups')
    .description('See, check and take backups, and let old ones go')
    .addHelpText('after', STORE);
  backups
    .command('list')
    .argument('[database]', 'only of this database')
    .description('List the backups in the store, and how old the last verified one of each database is')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (database: string | undefined, options: Common) => {
      const { listBackupsCommand } = await import('./commands/backups.js');
      setExitCode(await listBackupsCommand(context, database, options));
    });
  backups
    .command('show')
    .argument('<database>', 'the database')
    .argument('[id]', 'the backup (default: the newest verified one)')
    .description('Show what is known of a backup: its manifest, and what its last check found')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (database: string, id: string | undefined, options: Common) => {
      const { showBackupCommand } = await import('./commands/backups.js');
      setExitCode(await showBackupCommand(context, database, id, options));
    });
  backups
    .command('verify')
    .argument('<database>', 'the database')
    .argument('[id]', 'the backup (default: the newest one)')
    .description('Read a backup back from the store, all of it, and say what is wrong with it')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (database: string, id: string | undefined, options: Common) => {
      const { verifyBackupCommand } = await import('./commands/backups.js');
      setExitCode(await verifyBackupCommand(context, database, id, options));
    });
  backups
    .command('expire')
    .argument('[database]', 'only of this database')
    .description(
      'Show which backups are not kept by backups.keep; never the last two verified ones of a database',
    )
    .option('--confirm', 'delete them')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (database: string | undefined, options: ExpireOptions) => {
      const { expireBackupsCommand } = await import('./commands/backups.js');
      setExitCode(await expireBackupsCommand(context, database, options));
    });
  backups
    .command('take')
    .argument('[database]', 'the database')
    .description('Back up a database now, or all that follow on a host; no leader forks')
    .option('--host <host>', 'all databases whose follower is on this host')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(async (database: string | undefined, options: TakeOptions) => {
      const { takeBackupsCommand } = await import('./commands/takeBackups.js');
      setExitCode(await takeBackupsCommand(context, database, options));
    });
  registerDrill(backups, context, setExitCode);
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
