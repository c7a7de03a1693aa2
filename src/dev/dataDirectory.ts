/** What lies where in the data directory of `redis-fleet dev`. */

import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import type { Credentials } from '../connections/credentials.js';
import { readCredentials } from '../connections/credentials.js';
import type { DevPorts } from './ports.js';

export interface DataDirectory {
  readonly root: string;
  readonly logs: string;
  readonly pids: string;
  readonly hosts: string;
  readonly credentials: string;
  readonly env: string;
  readonly ports: string;
  /** What an orderly stop saved, for the next start. */
  readonly stopped: string;
  /** A file that does not exist: our processes shall not read the profiles of whoever started them. */
  readonly noTemporalConfig: string;
  host(name: string): string;
}

export function dataDirectory(folder: string): DataDirectory {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // As /proc shows it, so that processes in there are recognised.
  const root = realpathSync(folder);
  const inside = (name: string): string => path.join(root, name);
  const made = (name: string): string => {
    mkdirSync(inside(name), { recursive: true });
    return inside(name);
  };
  return {
    root,
    logs: made('logs'),
    pids: made('pids'),
    hosts: made('hosts'),
    credentials: inside('credentials.json'),
    env: inside('env'),
    ports: inside('ports.json'),
    stopped: inside('stopped.json'),
    noTemporalConfig: inside('no-temporal-profiles.toml'),
    host: (name) => path.join(root, 'hosts', name),
  };
}

/** Random ones, made once. @throws WrongCredentials, InvalidRequest when the file is there and is not ours */
export function ownCredentials(file: string): Credentials {
  if (!existsSync(file)) {
    const password = (): string => randomBytes(24).toString('base64url');
    const made: Credentials = {
      administrator: password(),
      replication: password(),
      application: password(),
    };
    writePrivate(file, `${JSON.stringify(made, null, 2)}\n`);
  }
  return readCredentials({ REDIS_FLEET_CREDENTIALS: file });
}

/** Appears whole or not at all. */
export function writePrivate(file: string, text: string): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  chmodSync(draft, 0o600);
  renameSync(draft, file);
}

/** The ports of the last run, so that addresses stay the same when they can. */
export function rememberedPorts(file: string): Partial<DevPorts> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof parsed !== 'object' || parsed === null) return {};
    return Object.fromEntries(
      Object.entries(parsed).filter(
        (entry): entry is [string, number] => Number.isInteger(entry[1]) && entry[1] > 0 && entry[1] < 65_536,
      ),
    );
  } catch {
    return {};
  }
}

/** A file for `source`. `programs`: the folder of `redis-fleet`, for who has not installed it. */
export function envFileText(env: Readonly<Record<string, string>>, programs: string): string {
  const lines = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`);
  return `${lines.join('\n')}\ncommand -v redis-fleet >/dev/null || export PATH=${quoted(programs)}:"$PATH"\n`;
}

function quoted(value: string): string {
  return /^[\w./:@%+=-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
