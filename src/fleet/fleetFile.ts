/** The fleet file: from YAML that people review to a Fleet, with every problem named by line and field. */

import type { Database, Fleet, Host, Server } from './fleet.js';
import { FleetError, messageOf } from './errors.js';
import { FleetFileSource, showPath } from './fleetFileSource.js';
import type { FieldPath, FileProblem } from './fleetFileSource.js';
import { databaseSchema, readField, serverSchema, settingsSchema, unknownKey } from './fleetFileSchema.js';
import type { FieldProblem } from './fleetFileSchema.js';
import { didYouMean, holdsName } from './nameRule.js';
import { filePlacement, hostsOf, placementProblems, placementProblemText, zoneProblem } from './placement.js';
import { quote } from './quantities.js';

const SETTINGS = ['fleet', 'detection', 'leases', 'backups', 'relocation'] as const;
const FIELDS = [...SETTINGS, 'servers', 'databases'] as const;

/** An element of a list that could be read, and where it stands. */
interface Read<T> {
  readonly value: T;
  readonly path: FieldPath;
}

/**
 * @param fileName as the messages shall name it
 * @throws InvalidFleetFile that lists every problem, one line each: `fleet.yaml:12:15: databases[3].port: …`
 */
export function parseFleetFile(text: string, fileName: string): Fleet {
  const source = openSource(text, fileName);
  const problems: FileProblem[] = source.problems;
  const report = ({ path, part, problem }: FieldProblem): void => {
    problems.push({ offset: source.offsetOf(path, part), text: `${showPath(path)}: ${problem}` });
  };
  const fleet = source.readable ? readFleet(source, report, problems) : null;
  if (fleet !== null && problems.length === 0) return fleet;
  const lines = problems
    .toSorted((a, b) => a.offset - b.offset)
    .map((problem) => `${fileName}:${source.lineAndColumn(problem.offset)}: ${problem.text}.`);
  throw new FleetError('InvalidFleetFile', [...new Set(lines)].join('\n'));
}

function openSource(text: string, fileName: string): FleetFileSource {
  try {
    return new FleetFileSource(text);
  } catch (error) {
    throw new FleetError('InvalidFleetFile', `${fileName}:1:1: this is not YAML: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

type Report = (problem: FieldProblem) => void;

function readFleet(source: FleetFileSource, report: Report, problems: FileProblem[]): Fleet | null {
  const value = source.value;
  if (value === null || value === undefined) {
    problems.push({ offset: 0, text: 'the file is empty, write fleet, servers and databases' });
    return null;
  }
  if (typeof value !== 'object' || Array.isArray(value)) {
    problems.push({ offset: 0, text: `${quote(value)} is not a fleet, write fleet, servers and databases` });
    return null;
  }
  const top = new Map<string, unknown>(Object.entries(value));
  for (const key of top.keys()) {
    if (!FIELDS.some((field) => field === key)) report(unknownKey([], key, FIELDS));
  }
  const settings = readField(
    settingsSchema,
    Object.fromEntries(SETTINGS.flatMap((key) => (top.has(key) ? [[key, top.get(key)]] : []))),
    [],
  );
  if ('problems' in settings) settings.problems.forEach(report);
  const servers = readList(top.get('servers'), 'servers', report, (element, path) =>
    readField(serverSchema, element, path),
  );
  const databases = readList(top.get('databases'), 'databases', report, (element, path) =>
    readField(databaseSchema, element, path),
  );
  checkServers(servers, source, report);
  checkDatabases(databases, servers, writtenNames(top.get('servers')), source, report);
  checkPlacement(databases, servers, report);
  if ('problems' in settings) return null;
  const { fleet: name, ...rest } = settings.value;
  return { name, servers: servers.map(valueOf), databases: databases.map(valueOf), ...rest };
}

function readList<T>(
  list: unknown,
  key: 'servers' | 'databases',
  report: Report,
  read: (element: unknown, path: FieldPath) => ReturnType<typeof readField<T>>,
): Read<T>[] {
  if (!Array.isArray(list) || (key === 'servers' && list.length === 0)) {
    const found = list === undefined ? 'this is missing' : `${quote(list)} is not a list of ${key}`;
    const empty = Array.isArray(list) ? 'a fleet has at least one server' : found;
    report({ path: [key], part: 'value', problem: `${empty}, write a line that begins with "-" for each` });
    return [];
  }
  return list.flatMap((element: unknown, index) => {
    const path = [key, index];
    const result = read(element, path);
    if ('value' in result) return [{ value: result.value, path }];
    result.problems.forEach(report);
    return [];
  });
}

function checkServers(servers: readonly Read<Server>[], source: FleetFileSource, report: Report): void {
  const hosts = servers.flatMap(({ value, path }) =>
    value.hosts.map((host, index): Read<Host> => ({ value: host, path: [...path, 'hosts', index] })),
  );
  refuseTwice(servers, 'name', 'the name of', source, report);
  refuseTwice(hosts, 'name', 'the name of', source, report);
  refuseTwice(hosts, 'address', 'the address of', source, report);
  for (const { value, path } of servers) {
    const problem = zoneProblem(...value.hosts);
    if (problem !== null) {
      const instead = 'write a host in another zone instead';
      report({ path: [...path, 'hosts', 1, 'zone'], part: 'value', problem: `${problem}, ${instead}` });
    }
  }
}

function checkDatabases(
  databases: readonly Read<Database>[],
  servers: readonly Read<Server>[],
  serverNames: readonly string[],
  source: FleetFileSource,
  report: Report,
): void {
  refuseTwice(databases, 'name', 'the name of', source, report);
  for (const { value, path } of databases) {
    if (!serverNames.includes(value.server)) {
      const meant =
        didYouMean(value.server, serverNames) ?? servers[0]?.value.name ?? 'a server of this file';
      const problem = `there is no server ${value.server} in this file, write for example ${meant} instead`;
      report({ path: [...path, 'server'], part: 'value', problem });
    }
    if (holdsName(value.name, value.server)) {
      const problem = `${value.name} holds the name of its server, and databases move, write another name instead`;
      report({ path: [...path, 'name'], part: 'value', problem });
    }
    if (value.name === 'consul') {
      const problem = 'consul is a service of Consul itself, write another name instead';
      report({ path: [...path, 'name'], part: 'value', problem });
    }
  }
}

function checkPlacement(
  databases: readonly Read<Database>[],
  servers: readonly Read<Server>[],
  report: Report,
): void {
  const unique = databases.filter(
    ({ value }, index) => databases.findIndex((other) => other.value.name === value.name) === index,
  );
  const fleet = { servers: servers.map(valueOf), databases: unique.map(valueOf) };
  for (const problem of placementProblems(hostsOf(fleet), filePlacement(fleet))) {
    const text = placementProblemText(problem);
    if (problem.kind === 'host full') {
      const path = servers.flatMap((server) => {
        const index = server.value.hosts.findIndex((host) => host === problem.host);
        return index < 0 ? [] : [[...server.path, 'hosts', index, 'memory']];
      })[0];
      report({
        path: path ?? [],
        part: 'value',
        problem: `${text}, write some of them on another server instead`,
      });
    } else if (problem.first.database !== problem.second.database) {
      const path = unique.find(({ value }) => value.name === problem.second.database)?.path ?? [];
      report({ path: [...path, 'port'], part: 'value', problem: `${text}, write another port instead` });
    }
  }
}

function refuseTwice<K extends string>(
  elements: readonly Read<Readonly<Record<K, string>>>[],
  key: K,
  what: string,
  source: FleetFileSource,
  report: Report,
): void {
  const seen = new Map<string, FieldPath>();
  for (const { value, path } of elements) {
    const first = seen.get(value[key]);
    if (first === undefined) {
      seen.set(value[key], path);
    } else {
      const problem =
        `${value[key]} is ${what} ${showPath(first)} already (line ${String(source.lineOf(first))}), ` +
        `write another instead`;
      report({ path: [...path, key], part: 'value', problem });
    }
  }
}

/** The names that the file gives its servers, also those that are wrong in another field. */
function writtenNames(servers: unknown): string[] {
  if (!Array.isArray(servers)) return [];
  return servers.flatMap((server: unknown) =>
    typeof server === 'object' && server !== null && 'name' in server ? [String(server.name)] : [],
  );
}

function valueOf<T>(read: Read<T>): T {
  return read.value;
}
