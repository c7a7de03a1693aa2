import { FleetError } from '../fleet/errors.js';
import type { SwitchoverActivities } from './switchoverContract.js';

export function switchoverActivities(dependencies: object): SwitchoverActivities {
  const notYet = (): never => {
    throw new FleetError('InvalidRequest', `Not there yet (${Object.keys(dependencies).length}).`);
  };
  return { planSwitchover: notYet, handOver: notYet, awaitResynchronised: notYet, letGoOfClients: notYet };
}
