/**
 * Every error that the project raises on purpose, in one place. A message is a sentence for an engineer under
 * stress: what happened, to what, what was kept safe, what to do next.
 */

export const ERROR_KINDS = [
  /** A request, the fleet file or a record is not what it must be. */
  'InvalidRequest',
  'InvalidFleetFile',
  'InvalidRecord',
  /** Somebody else changed the record first. */
  'RecordChanged',
  /** Another live runbook owns the database. */
  'DatabaseOwned',
  /** A more urgent runbook took the database from this one. */
  'OwnershipLost',
  'PermitHeld',
  'NoHeadroom',
  /** Every way of a procedure was ruled out, each for a reason of its own. */
  'NoSafeWay',
  /** A leader is not the process, or not in the state, that the record says. */
  'LeaderUnfit',
  'FollowerUnfit',
  /** An RDB file that is truncated, foreign or unreadable. */
  'BadDataFile',
  /** The leader's backlog does not cover what a follower needs: a full synchronisation would be asked for. */
  'BacklogTooShort',
  'NotCaughtUp',
  'LeaderForked',
  /** A hand-over did not come about: writes go on at the old leader, and nothing is changed. */
  'HandOverUndone',
  /** A leader that shall be replaced serves: there is nothing to promote for. */
  'LeaderHealthy',
  /** Nobody can say for sure that the old leader takes no more writes. */
  'NotFenced',
  'PortInUse',
  'DiskFull',
  'ProcessDied',
  'WrongCredentials',
  'Unreachable',
  'NotFound',
] as const;
export type ErrorKind = (typeof ERROR_KINDS)[number];

/** Kinds that may pass by themselves, so that an activity that raised one is tried again. */
export const RETRYABLE_KINDS: ReadonlySet<ErrorKind> = new Set<ErrorKind>(['Unreachable', 'NotCaughtUp']);

export class FleetError extends Error {
  override readonly name = 'FleetError';

  constructor(
    readonly kind: ErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  get retryable(): boolean {
    return RETRYABLE_KINDS.has(this.kind);
  }
}

/** A message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
