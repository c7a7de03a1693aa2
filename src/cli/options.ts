/** Options that several commands have. */

export const FILE = [
  '-f, --file <file>',
  'the fleet file (default: REDIS_FLEET_FILE, else fleet.yaml)',
] as const;
export const JSON_OUTPUT = ['--json', 'print one JSON document instead of text'] as const;
export const DETACH = ['--detach', 'start it, and do not wait for its end'] as const;
