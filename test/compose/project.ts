/** The project's deployment files, read as what they are. */

import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

export const PROJECT = path.resolve(import.meta.dirname, '../..');

export function readProjectFile(file: string): string {
  return readFileSync(path.join(PROJECT, file), 'utf8');
}

export interface Service {
  readonly image: string;
  readonly build?: string;
  readonly init?: boolean;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks?: readonly string[] | Readonly<Record<string, { readonly ipv4_address?: string }>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: object;
  readonly mem_limit?: string;
  readonly stop_grace_period?: string;
}

export interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: {
    readonly fleet: { readonly ipam: { readonly config: readonly [{ subnet: string; ip_range: string }] } };
  };
  readonly volumes: Readonly<Record<string, null>>;
  readonly configs: Readonly<Record<string, { readonly file: string }>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

/** As the file stands, with its anchors resolved. */
export function readRawCompose(): Compose {
  return parse(readProjectFile('docker-compose.yml'), { merge: true }) as Compose;
}

/** As an engine sees it when no variable is set: `${NAME:-default}` is its default. */
export function readCompose(): Compose {
  const text = readProjectFile('docker-compose.yml').replace(/\$\{[A-Z_]+:-([^}]*)\}/g, '$1');
  return parse(text, { merge: true }) as Compose;
}

/** The services that run our own image. */
export function ownServices(compose: Compose): readonly (readonly [string, Service])[] {
  return Object.entries(compose.services).filter(([, service]) => service.image === 'redis-fleet');
}

/** All TypeScript under src/, as one text. */
export function readSources(): string {
  return readdirSync(path.join(PROJECT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readProjectFile(path.join('src', file)))
    .join('\n');
}

/**
 * What the command line says about a call such as ['agent', '--host', 'x']: the part of it that it does not know,
 * or null when it knows all of it. It runs the built command line, with --help, so nothing is done.
 */
export function unknownToCommandLine(args: readonly string[]): string | null {
  const [command = ''] = args;
  const help = spawnSync(path.join(PROJECT, 'bin/redis-fleet'), [command, '--help'], { encoding: 'utf8' });
  if (help.status !== 0 || !help.stdout.includes(`Usage: redis-fleet ${command}`)) {
    return `redis-fleet ${command}: ${help.stderr}`;
  }
  return args.find((arg) => arg.startsWith('-') && !help.stdout.includes(arg)) ?? null;
}

/** The variables of Temporal's SDK and of Consul's clients that mean something to the project, and the project's own. */
export function isKnownVariable(name: string, sources: string): boolean {
  if (sources.includes(name)) return true;
  const folder = 'node_modules/@temporalio/envconfig/lib';
  return (
    name.startsWith('TEMPORAL_') &&
    readdirSync(path.join(PROJECT, folder), { encoding: 'utf8' })
      .filter((file) => file.endsWith('.js'))
      .some((file) => readProjectFile(path.join(folder, file)).includes(name))
  );
}
