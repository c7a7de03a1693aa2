import { afterEach, describe, expect, it, vi } from 'vitest';
import { leaseClock } from '../../src/host/leaseClock.js';

function machine() {
  const at = { monotonic: 1_000, sinceBoot: 50 };
  const clock = leaseClock({
    monotonic: () => at.monotonic,
    sinceBoot: () => Math.floor(at.sinceBoot * 100) / 100,
  });
  return {
    clock,
    run: (ms: number) => {
      at.monotonic += ms;
      at.sinceBoot += ms / 1_000;
    },
    sleep: (ms: number) => {
      at.sinceBoot += ms / 1_000;
    },
  };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('the clock of a lease', () => {
  it('counts milliseconds while the machine runs', () => {
    const { clock, run } = machine();
    const start = clock();
    for (let i = 0; i < 1_000; i++) {
      run(3.7);
      expect(clock() - start).toBeCloseTo((i + 1) * 3.7, 3);
    }
  });

  it('goes on while the machine is suspended', () => {
    const { clock, run, sleep } = machine();
    const start = clock();
    run(100);
    sleep(60_000);
    run(100);
    expect(clock() - start).toBeGreaterThan(60_150);
    expect(clock() - start).toBeLessThan(60_250);
  });

  it('never goes back, whatever the kernel says of the time since boot', () => {
    const { clock, run, sleep } = machine();
    let last = clock();
    for (const jump of [500, -30_000, 20, -20, 10_000]) {
      sleep(jump);
      run(1);
      const now = clock();
      expect(now).toBeGreaterThan(last);
      last = now;
    }
  });

  it('does not care for the wall clock', () => {
    const clock = leaseClock();
    const before = clock();
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(0);
    expect(clock() - before).toBeGreaterThanOrEqual(0);
    vi.setSystemTime(4e12);
    expect(clock() - before).toBeLessThan(10_000);
  });
});
