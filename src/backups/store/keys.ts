import { FleetError } from '../../fleet/errors.js';

const KEY = /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/;
const LONGEST = 900;

/** @throws InvalidRequest for what could lead out of a store, or collide with its own files */
export function checkKey(key: string): string {
  if (KEY.test(key) && key.length <= LONGEST) return key;
  throw new FleetError(
    'InvalidRequest',
    `${JSON.stringify(key.slice(0, 100))} is no name of an object in a backup store. Nothing was read or changed.`,
  );
}
