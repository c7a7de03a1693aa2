/** One read for all who ask within `keepMs` of its start. One that failed is not kept. */
export function sharedRead<T>(keepMs: number, read: () => Promise<T>): () => Promise<T> {
  let last: { readonly at: number; readonly answer: Promise<T> } | null = null;
  return async () => {
    const now = performance.now();
    if (last === null || now - last.at > keepMs) last = { at: now, answer: read() };
    const asked = last;
    try {
      return await asked.answer;
    } catch (error) {
      if (last === asked) last = null;
      throw error;
    }
  };
}
