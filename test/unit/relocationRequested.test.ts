import { describe, expect, it } from 'vitest';
import { DEFAULT_OPTIONS } from '../../src/fleet/relocation/plan.js';
import { goalOf, optionsOf } from '../../src/fleet/relocation/requested.js';

describe('a request of a relocation', () => {
  it('is to relieve a host, to drain one, or to even out all', () => {
    expect(goalOf({ host: 'redis-01-a' })).toEqual({ kind: 'relieve', hosts: ['redis-01-a'] });
    expect(goalOf({ drain: 'redis-01-a' })).toEqual({ kind: 'drain', host: 'redis-01-a' });
    expect(goalOf({})).toEqual({ kind: 'rebalance' });
  });

  it('overrides only what it names', () => {
    expect(optionsOf({})).toEqual({});
    expect(optionsOf({ horizon: 60, atOnce: 2, bandwidth: 1 })).toEqual({
      horizon: 60,
      atOnce: 2,
      bandwidth: 1,
    });
  });

  it('does not make the network faster', () => {
    const { bandwidth } = DEFAULT_OPTIONS;
    expect(optionsOf({ bandwidth: 2 * bandwidth })).toEqual({ bandwidth });
  });
});
