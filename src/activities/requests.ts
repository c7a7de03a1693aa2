/** The first thing a procedure does: its argument is looked at before anything else is. */

import { parseRequest } from '../fleet/requestSchemas.js';
import type { RequestActivities } from './contracts.js';

export function requestActivities({ fleetName }: { readonly fleetName: string }): RequestActivities {
  return {
    checkRequest({ type, request }) {
      return Promise.resolve().then(() => ({ fleet: fleetName, request: parseRequest(type, request) }));
    },
  };
}
