/** What every Redis process is started with: pure text, the same for every role, because promotion is explicit. */

/** Redis's users: who may do what is in `aclFile`. */
export const ADMINISTRATOR_USER = 'redis-fleet';
export const REPLICATION_USER = 'replication';
export const APPLICATION_USER = 'default';
