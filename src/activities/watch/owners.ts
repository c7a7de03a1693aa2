/** Whether the runbooks that own records still live, asked of Temporal when it matters and remembered for a moment. */

import type { OwnerState } from '../../fleet/ownership.js';
import type { Operation } from '../../fleet/record.js';

const REMEMBERED_MS = 3_000;

interface Known {
  readonly lives: boolean | null;
  readonly askedAt: number;
}

export class Owners {
  readonly #known = new Map<string, Known>();

  constructor(
    private readonly ask: (owner: Operation) => Promise<OwnerState>,
    private readonly onChange: () => void,
  ) {}

  /** null: nobody owns it, or it is not known (yet). */
  lives(owner: Operation | undefined, now: number): boolean | null {
    if (owner === undefined) return null;
    const key = `${owner.workflowId} ${owner.runId}`;
    const known = this.#known.get(key);
    if (known === undefined || now - known.askedAt > REMEMBERED_MS) {
      this.#known.set(key, { lives: known?.lives ?? null, askedAt: now });
      void this.#look(owner, key);
    }
    return known?.lives ?? null;
  }

  async #look(owner: Operation, key: string): Promise<void> {
    let lives: boolean | null = null;
    try {
      lives = (await this.ask(owner)) === 'running';
    } catch {
      // Temporal does not say: nobody is declared dead.
    }
    const before = this.#known.get(key);
    // Runbooks come and go; the map must not grow.
    for (const [other, { askedAt }] of this.#known) {
      if (performance.now() - askedAt > 20 * REMEMBERED_MS) this.#known.delete(other);
    }
    this.#known.set(key, { lives, askedAt: before?.askedAt ?? performance.now() });
    if (before?.lives !== lives) this.onChange();
  }
}
