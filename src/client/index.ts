/** What applications import: `redis-fleet/client`. */

export { connectFleet } from './connectFleet.js';
export type { ConnectOptions, DatabaseOptions, FleetConnection } from './connectFleet.js';
export { ClientError, NoLeader, OutcomeUnknown, TransactionLost } from './errors.js';
export type { Outcome } from './errors.js';
export type { ClientLog } from './recordWatch.js';
export { consulFromEnvironment } from '../connections/consul.js';
export type { FleetConsul } from '../connections/consul.js';
