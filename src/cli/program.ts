/** The command line: names, options and help. What a command does is imported when it is called. */

import type { BringUpOptions } from './commands/bringUp.js';
import type { PlanOptions } from './commands/plan.js';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { BRING_UP_WAYS } from '../fleet/requests.js';
import { CALLED_WRONGLY, WELL } from './context.js';
import type { CliContext, ExitCode } from './context.js';
import { reportFailure } from './failures.js';
import { DETACH, FILE, JSON_OUTPUT } from './options.js';
import { registerBackups } from './programBackups.js';
import { registerFailover } from './programFailover.js';
import { registerMove } from './programMove.js';
import { pauseSeconds, registerPausing } from './programPause.js';
import { registerRelocate } from './programRelocate.js';
import { registerRestore } from './programRestore.js';
import { registerRunbook } from './programRunbook.js';

/** Where each system is found: the same for every command. */
const ENVIRONMENT = `
Environment:
  REDIS_FLEET_FILE                                the fleet file (default: ./fleet.yaml; --file comes first)
  TEMPORAL_ADDRESS, TEMPORAL_PROFILE, …           as for the temporal command line
  CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, …          as for the consul command line
  REDIS_FLEET_CREDENTIALS                         a file with the passwords of Redis's users (check, worker, agent)
  REDIS_FLEET_DEBUG=1                             errors with their stack traces

Exit codes: 0 well, 1 not well, 2 called wrongly.`;

/** Sets the exit code that the process ends with. */
export type SetExitCode = (code: ExitCode) => void;

/**
 * Runs one command line. Never throws; everything is said through `context`.
 * @returns null: a command that keeps running ended, and has said its exit code itself
 */
export async function runCli(argv: readonly string[], context: CliContext): Promise<ExitCode | null> {
  const asJson = argv.includes('--json');
  let exitCode: ExitCode | null = null;
  let usage = '';
  try {
    const program = await createProgram(context, (code) => {
      exitCode = code;
    });
    configure(program, context, (text) => {
      usage += text;
    });
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportFailure(error, context, asJson);
    if (error.exitCode === 0) return WELL;
    const message = usage.replace(/^error: /, '').trim();
    context.err(asJson ? `${JSON.stringify({ error: { kind: 'InvalidRequest', message } })}\n` : usage);
    return CALLED_WRONGLY;
  }
}

/** Commander's own errors come back as CommanderError, whatever subcommand they are about. */
function configure(command: Command, context: CliContext, onUsage: (text: string) => void): void {
  command.exitOverride().configureOutput({ writeOut: (text) => context.out(text), writeErr: onUsage });
  command.showSuggestionAfterError();
  for (const child of command.commands) configure(child, context, onUsage);
}

async function createProgram(context: CliContext, setExitCode: SetExitCode): Promise<Command> {
  const program = new Command('redis-fleet')
    .description('Operates a fleet of Redis leaders and followers by durable Temporal runbooks')
    .addHelpText('after', ENVIRONMENT);
  registerFleet(program, context, setExitCode);
  registerFailover(program, context, setExitCode);
  registerMove(program, context, setExitCode);
  registerRelocate(program, context, setExitCode);
  registerPausing(program, context, setExitCode);
  registerBackups(program, context, setExitCode);
  registerRunbook(program, context, setExitCode);
  registerRestore(program, context, setExitCode);
  await registerDaemons(program);
  return program;
}

function registerFleet(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  program
    .command('plan')
    .argument('[file]', 'the fleet file')
    .description('Show what apply would change; change nothing')
    .option('--drain <host>', 'show instead where the databases of this host would go')
    .option('--run', 'with --drain: and move them; asks first')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (file: string | undefined, options: PlanOptions & { drain?: string; run?: true }) => {
      if (options.drain !== undefined || options.run) {
        const { relocateCommand } = await import('./commands/relocate.js');
        setExitCode(
          await relocateCommand(context, {
            ...options,
            ...(file === undefined ? {} : { file }),
            dryRun: options.run !== true,
          }),
        );
        return;
      }
      const { planCommand } = await import('./commands/plan.js');
      setExitCode(await planCommand(context, file, options));
    });
  program
    .command('apply')
    .argument('[file]', 'the fleet file')
    .description('Store the fleet, and provision the servers whose databases have no leader yet')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(
      async (file: string | undefined, options: { file?: string; json?: boolean; detach?: boolean }) => {
        const { applyCommand } = await import('./commands/apply.js');
        setExitCode(await applyCommand(context, file, options));
      },
    );
  program
    .command('status')
    .description('Show every server, host and database, and the runbook that owns it')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (options: { file?: string; json?: boolean }) => {
      const { statusCommand } = await import('./commands/status.js');
      setExitCode(await statusCommand(context, options));
    });
  program
    .command('check')
    .description('Check the invariants that can be seen now: one sentence for each that does not hold')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (options: { file?: string; json?: boolean }) => {
      const { checkCommand } = await import('./commands/check.js');
      setExitCode(await checkCommand(context, options));
    });
  program
    .command('provision')
    .argument('<server>', 'a server of the applied fleet')
    .description('Bring up the databases of a server that have no leader yet')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(async (server: string, options: { file?: string; json?: boolean; detach?: boolean }) => {
      const { provisionCommand } = await import('./commands/provision.js');
      setExitCode(await provisionCommand(context, server, options));
    });
  registerBringUp(program, context, setExitCode);
}

function registerBringUp(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  program
    .command('bring-up')
    .argument('<database>', 'the database that needs a follower')
    .description('Bring up a follower in the way that spares its leader most')
    .option(
      '--host <host>',
      "where it shall run (default: where the record has it, else the leader's partner)",
    )
    .option('--backup <file>', 'an RDB file on that host to start from')
    .option(
      '--way <way>',
      'only this way: own-files, backup, chain or full (default: the first possible)',
      way,
    )
    .option(
      '--pause-writes <seconds>',
      'where the leader can fork in no other way: its writes may wait for that so long',
      pauseSeconds,
    )
    .option('--approve-fork', 'approve beforehand that the leader may fork once; needs --reason')
    .option('--reason <text>', 'why the fork is approved')
    .option('--by <name>', 'who approves it (default: $USER)')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(async (database: string, options: BringUpOptions) => {
      const { bringUpCommand } = await import('./commands/bringUp.js');
      setExitCode(await bringUpCommand(context, database, options));
    });
}

function way(value: string): string {
  if (BRING_UP_WAYS.some((known) => known === value)) return value;
  throw new InvalidArgumentError(`It is one of ${BRING_UP_WAYS.join(', ')}.`);
}

/** Commands that keep running: their own files describe them, and import what is heavy when they are called. */
async function registerDaemons(program: Command): Promise<void> {
  const [{ registerDev }, { registerWorker }, { registerAgent }] = await Promise.all([
    import('./dev.js'),
    import('./worker.js'),
    import('./agent.js'),
  ]);
  registerDev(program);
  registerWorker(program);
  registerAgent(program);
}
