/** Answers that say that a command was not executed, and that another leader, or a later time, may take it. Pure. */

/**
 * `moved`: this process does not lead. `unavailable`: it cannot serve now (it is fenced, or loads its data).
 * null: an answer as any other, which belongs to whoever sent the command.
 */
export function refusalOf(message: string): 'moved' | 'unavailable' | null {
  // A transaction is refused as a whole, with the reason in its words.
  const words = message.replace(/^EXECABORT Transaction discarded because of: /, '');
  // UNBLOCKED: it waited (BLPOP, …) on a leader that was demoted meanwhile.
  if (/^(READONLY|UNBLOCKED)\b/.test(words)) return 'moved';
  return /^(NOREPLICAS|LOADING|MASTERDOWN)\b/.test(words) ? 'unavailable' : null;
}

/** Some command of a transaction was refused when it was queued, and so EXEC is. */
export function isDiscarded(message: string): boolean {
  return /^EXECABORT\b/.test(message);
}
