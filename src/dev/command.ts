import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/**
 * Runs a command to its end, in a process group of its own. Returns the exit code; 1 when it was killed or could not
 * be started. `signal` ends it.
 */
export async function runToEnd(
  command: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<number> {
  if (signal.aborted) return 1;
  const [binary, ...parameters] = command;
  const child = spawn(binary, parameters, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  try {
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', onLine);
    return await new Promise<number>((resolve) => {
      child.once('error', (error) => {
        onLine(error.message);
        resolve(1);
      });
      child.once('close', (code) => resolve(code ?? 1));
    });
  } finally {
    signal.removeEventListener('abort', end);
  }
}
