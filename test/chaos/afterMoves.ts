/** What must hold after a move, by itself or in a relocation, killed or not. */

import { expect } from 'vitest';
import type { EndState } from './endState.js';
import type { Outcome } from './procedure.js';
import { expectSound } from './sound.js';

/** A new pair serves it, and nothing of it is left where it was. */
export function expectMoved(outcome: Pick<Outcome, 'end'>): void {
  const { record, parts } = outcome.end;
  expectSound(outcome, { newLeader: 0, newFollower: 0 }, { leads: 'newLeader' });
  expect(record).toMatchObject({
    epochs: 1,
    leader: 'newLeader',
    follower: 'newFollower',
    extraFollowers: [],
  });
  expect(leftOver(parts, ['newLeader', 'newFollower'])).toEqual([]);
}

/** It is as it was, and nothing of it is where it would have gone. @param followerForks for a copy that nobody needs now */
export function expectNotMoved(
  outcome: Pick<Outcome, 'end'>,
  { followerForks = 0 }: { readonly followerForks?: number } = {},
): void {
  const { record, parts } = outcome.end;
  expectSound(outcome, { leader: 0, follower: followerForks });
  expect(record).toMatchObject({ epochs: 0, leader: 'leader', follower: 'follower', extraFollowers: [] });
  expect(leftOver(parts, ['leader', 'follower'])).toEqual([]);
}

/** Parts that have files of it, beside those that shall. */
function leftOver(parts: EndState['parts'], its: readonly string[]): readonly string[] {
  return Object.entries(parts).flatMap(([part, { files }]) =>
    its.includes(part) || files === null ? [] : [part],
  );
}
