import { describe, expect, it } from 'vitest';
import { Acknowledgements } from '../../src/testbed/acknowledgements.js';

const OLD = '127.0.0.1:1';
const NEW = '127.0.0.2:1';

/** One a time unit but for those left out. */
function acknowledged(upTo: number, ...without: number[]): Acknowledgements {
  const all = new Acknowledgements();
  for (let time = 0; time <= upTo; time++) {
    if (!without.includes(time)) all.add(time, time, time < 50 ? OLD : NEW);
  }
  return all;
}

describe('what a client was acknowledged', () => {
  it('shows the longest gap, and who acknowledged before and after it', () => {
    const all = acknowledged(100, 40, 41, 42, 43, 70);
    expect(all.in({ from: 10, to: 100 })).toMatchObject({
      acknowledged: 86,
      gap: { from: 39, to: 44 },
      by: { [OLD]: { count: 36, last: 49 }, [NEW]: { count: 50, last: 100 } },
    });
  });

  it('counts a gap that began before the window from where it began', () => {
    const all = acknowledged(100, 40, 41, 42, 43, 44, 45);
    expect(all.in({ from: 44, to: 100 }).gap).toEqual({ from: 39, to: 46 });
  });

  it('counts a gap that has not ended up to the end of the window', () => {
    expect(acknowledged(60).in({ from: 10, to: 90 }).gap).toEqual({ from: 60, to: 90 });
    expect(acknowledged(60).in({ from: 70, to: 90 })).toMatchObject({
      acknowledged: 0,
      gap: { from: 60, to: 90 },
    });
  });

  it('leaves out what came after the window', () => {
    expect(acknowledged(100).in({ from: 0, to: 20 })).toMatchObject({
      acknowledged: 21,
      by: { [OLD]: { last: 20 } },
    });
  });

  it('names who had acknowledged what is not there any more', () => {
    expect(acknowledged(100).missing((sequence) => sequence < 45 || sequence > 52)).toEqual({
      [OLD]: 5,
      [NEW]: 3,
    });
    expect(acknowledged(100).missing(() => true)).toEqual({});
  });

  it('holds as many as a client writes in minutes', () => {
    const all = new Acknowledgements();
    for (let sequence = 0; sequence < 100_000; sequence++) all.add(sequence, sequence / 10, OLD);
    expect(all.in({ from: 0, to: 10_000 }).acknowledged).toBe(100_000);
    expect(all.missing((sequence) => sequence !== 99_999)).toEqual({ [OLD]: 1 });
  });
});
