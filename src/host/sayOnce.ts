import type { Log } from '../connections/log.js';

/** Trouble that lasts is said when it begins and when it ends, not at every try. */
export interface SayOnce {
  begins(key: string, message: string): void;
  ends(key: string, message: string): void;
}

export function sayOnce(log: Pick<Log, 'info' | 'warn'>): SayOnce {
  const lasting = new Set<string>();
  return {
    begins(key, message) {
      if (lasting.has(key)) return;
      lasting.add(key);
      log.warn(message);
    },
    ends(key, message) {
      if (lasting.delete(key)) log.info(message);
    },
  };
}
