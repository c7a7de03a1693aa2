/** What a command may touch of the process around it, so that a test can give it another one. */

export interface CliContext {
  readonly env: NodeJS.ProcessEnv;
  out(text: string): void;
  err(text: string): void;
  /** Whether stdout is a terminal: tables get lines, progress gets shown. */
  readonly isTerminal: boolean;
  /**
   * From the first call on, Ctrl-C aborts this signal instead of ending the process: whoever waits for a runbook stops
   * waiting, and the runbook goes on. A second Ctrl-C ends the process.
   */
  interruption(): AbortSignal;
}

/** 0 well, 1 not well, 2 called wrongly. */
export type ExitCode = 0 | 1 | 2;
export const WELL: ExitCode = 0;
export const NOT_WELL: ExitCode = 1;
export const CALLED_WRONGLY: ExitCode = 2;

export function printLine(context: CliContext, line: string): void {
  context.out(`${line}\n`);
}

/** One JSON document on stdout, for `--json`. */
export function printJson(context: CliContext, value: unknown): void {
  context.out(`${JSON.stringify(value, null, 2)}\n`);
}

export function processContext(): CliContext {
  for (const stream of [process.stdout, process.stderr]) {
    // `redis-fleet status | head -1`: the reader has seen enough.
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(process.exitCode ?? WELL);
    });
  }
  let signal: AbortSignal | null = null;
  return {
    env: process.env,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTerminal: process.stdout.isTTY,
    interruption: () => (signal ??= abortOnSignals()),
  };
}

function abortOnSignals(): AbortSignal {
  const interrupted = new AbortController();
  const interrupt = (): void => {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
    interrupted.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return interrupted.signal;
}
