import { expect, test } from 'vitest';
import { sharedRead } from '../../src/activities/watch/sharedRead.js';

function counter(): { readonly times: () => number; readonly read: () => Promise<number> } {
  let times = 0;
  return { times: () => times, read: () => Promise.resolve((times += 1)) };
}

test('who asks meanwhile, or soon after, gets the same answer', async () => {
  const { times, read } = counter();
  const shared = sharedRead(60_000, read);
  expect(await Promise.all([shared(), shared()])).toEqual([1, 1]);
  expect(await shared()).toBe(1);
  expect(times()).toBe(1);
});

test('an answer that is too old is not given', async () => {
  const shared = sharedRead(-1, counter().read);
  expect([await shared(), await shared()]).toEqual([1, 2]);
});

test('a failure is told to all who wait for it, and read anew by the next', async () => {
  const failing = [true, false];
  const shared = sharedRead(60_000, () =>
    failing.shift() ? Promise.reject(new Error('away')) : Promise.resolve('well'),
  );
  const [one, other] = await Promise.allSettled([shared(), shared()]);
  expect([one.status, other.status]).toEqual(['rejected', 'rejected']);
  expect(await shared()).toBe('well');
});
