import { FleetError } from '../fleet/errors.js';
import type { WatchActivities } from './watchContract.js';

export function watchActivities(dependencies: object): WatchActivities {
  const notYet = (): never => {
    throw new FleetError('InvalidRequest', `Not there yet (${Object.keys(dependencies).length}).`);
  };
  return { watchLeaders: notYet };
}
