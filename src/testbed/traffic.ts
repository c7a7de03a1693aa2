/** Clients that write all the time, in a process of their own, which may be in a zone. */

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { FleetError } from '../fleet/errors.js';
import type { Address, Login } from './clients.js';
import type {
  StreamFigures,
  StreamOptions,
  StreamVerification,
  TrafficAnswer,
  TrafficQuestion,
  Window,
} from './trafficContract.js';

export { now } from './trafficContract.js';

const KEPT_WORDS = 2000;

export interface Traffic {
  /** Of every stream, in the order of their start. */
  figures(window: Window): Promise<readonly StreamFigures[]>;
  /** Ends the writing; the figures stay as they are. */
  stop(): Promise<void>;
  /** Whether one process has what a stream (by its place in the list) was told to be written. @throws Unreachable */
  verify(index: number, where: Address, login: Login): Promise<StreamVerification>;
  /** Ends the process. May be called again. */
  end(): void;
}

/**
 * @param enter what a command begins with that is to run in a zone
 * @throws NotFound when the project is not built, Unreachable when the process ends
 */
export async function startTraffic(
  streams: readonly StreamOptions[],
  enter: readonly [] | readonly [string, ...string[]] = [],
): Promise<Traffic> {
  const main = [process.execPath, mainFile()] as const;
  const [binary, ...parameters] = [...enter, ...main] as const;
  const child = spawn(binary, parameters, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const line = new Line(child);
  await line.ask({ ask: 'start', streams });
  return {
    figures: async (window) => (await line.ask({ ask: 'figures', window })) as readonly StreamFigures[],
    async stop() {
      await line.ask({ ask: 'stop' });
    },
    verify: async (index, where, login) =>
      (await line.ask({ ask: 'verify', index, where, login })) as StreamVerification,
    end: () => void child.kill('SIGKILL'),
  };
}

class Line {
  readonly #waiting = new Map<
    number,
    { resolve: (answer: unknown) => void; reject: (error: FleetError) => void }
  >();
  #next = 0;
  #ended: string | null = null;
  /** ioredis is talkative about sentinels that it cannot reach: worth reading only when the process died of it. */
  #lastWords = '';

  constructor(readonly child: ChildProcess) {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = `${this.#lastWords}${text}`.slice(-KEPT_WORDS);
    });
    child.on('message', (message: TrafficAnswer) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if ('problem' in message) waiting?.reject(new FleetError('Unreachable', message.problem));
      else waiting?.resolve(message.answer);
    });
    child.on('error', (error) => this.#end(error.message));
    child.on('exit', (code, signal) => this.#end(signal ?? `exit code ${code ?? 0}`));
  }

  ask(question: TrafficQuestion): Promise<unknown> {
    if (this.#ended !== null) return Promise.reject(this.#gone());
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.child.send({ id, question });
    });
  }

  #end(why: string): void {
    this.#ended = why;
    for (const { reject } of this.#waiting.values()) reject(this.#gone());
    this.#waiting.clear();
  }

  #gone(): FleetError {
    return new FleetError(
      'Unreachable',
      `The process of the clients that write ended: ${this.#ended ?? ''}\n${this.#lastWords}`,
    );
  }
}

/** Beside this file when that is compiled; tests run from the sources, and use what `scripts/build` made. */
function mainFile(): string {
  const places = ['./trafficMain.js', '../../dist/testbed/trafficMain.js'];
  const found = places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find(existsSync);
  if (found !== undefined) return found;
  throw new FleetError(
    'NotFound',
    'dist/testbed/trafficMain.js does not exist: the project is not built. Run scripts/build.',
  );
}
