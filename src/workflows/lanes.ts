/** Does the same for each item, several at a time, taken in order. The first failure is thrown once all have ended. */
export async function inLanes<T>(
  lanes: number,
  items: readonly T[],
  each: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  let failed: { readonly error: unknown } | null = null;
  const lane = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      try {
        await each(item);
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, items.length) }, lane));
  const first = failed as { readonly error: unknown } | null;
  if (first !== null) throw first.error;
}
