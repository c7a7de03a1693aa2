/** One change at a time to one process directory: an attempt that timed out may still be at work when the next begins. */
export type Exclusive = <T>(database: string, work: () => Promise<T>) => Promise<T>;

export function exclusiveByDatabase(): Exclusive {
  const last = new Map<string, Promise<unknown>>();
  return (database, work) => {
    const before = last.get(database) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.then(
      () => undefined,
      () => undefined,
    );
    last.set(database, settled);
    void settled.then(() => {
      if (last.get(database) === settled) last.delete(database);
    });
    return mine;
  };
}
