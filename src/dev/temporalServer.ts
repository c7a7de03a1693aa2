/** Temporal's development server, with its data on disk and the fleet's search attributes. */

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { SEARCH_ATTRIBUTES } from '../fleet/names.js';
import { TEMPORAL_ADDRESS } from './ports.js';
import type { DevPorts } from './ports.js';

const TEMPORAL_TYPES = { KEYWORD: 'Keyword', KEYWORD_LIST: 'KeywordList' } as const;

export function temporalCommand(
  binary: string,
  folder: string,
  ports: DevPorts,
): readonly [string, ...string[]] {
  mkdirSync(folder, { recursive: true });
  const attributes = Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => [
    '--search-attribute',
    `${name}=${TEMPORAL_TYPES[type]}`,
  ]);
  return [
    binary,
    ...['server', 'start-dev', '--ip', TEMPORAL_ADDRESS, '--port', String(ports.temporal)],
    ...['--ui-ip', TEMPORAL_ADDRESS, '--ui-port', String(ports.temporalUi)],
    ...['--db-filename', path.join(folder, 'temporal.db'), '--log-level', 'warn'],
    ...attributes,
  ];
}
