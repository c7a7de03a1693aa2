import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sampleOf } from '../../src/fleet/rdbSample.js';

const byte = (...bytes: number[]): Buffer => Buffer.from(bytes);
const text = (value: string): Buffer => Buffer.concat([byte(value.length), Buffer.from(value, 'latin1')]);
const aux = (name: string, value: string): Buffer => Buffer.concat([byte(0xfa), text(name), text(value)]);
const pair = (key: string, value: string): Buffer => Buffer.concat([byte(0), text(key), text(value)]);
const double = Buffer.alloc(8);

/** One of each kind that is stepped over, and strings between them. */
const FILE = Buffer.concat([
  Buffer.from('REDIS0010'),
  aux('redis-ver', '7.0.15'),
  byte(0xf5),
  text('#!lua name=f'),
  byte(0xfe, 0),
  byte(0xfb, 12, 1),
  pair('first', 'one'),
  // An integer as its value.
  Buffer.concat([byte(0), text('number'), byte(0xc0, 42)]),
  // List, set, hash, sorted set, listpack, quicklist.
  Buffer.concat([byte(1), text('list'), byte(2), text('a'), text('b')]),
  Buffer.concat([byte(2), text('set'), byte(1), text('a')]),
  Buffer.concat([byte(4), text('hash'), byte(1), text('f'), text('v')]),
  Buffer.concat([byte(5), text('zset'), byte(1), text('m'), double]),
  Buffer.concat([byte(16), text('small hash'), text('listpack')]),
  Buffer.concat([byte(18), text('quicklist'), byte(1), byte(2), text('node')]),
  // It expires, and so may be gone when it is loaded.
  Buffer.concat([byte(0xfc), double, pair('expires', 'x')]),
  Buffer.concat([byte(0xf8, 3), byte(0xf9, 7), pair('idle', 'two')]),
  byte(0xfe, 1),
  pair('elsewhere', 'y'),
  byte(0xfe, 0),
  pair('last', 'three'),
  byte(0xff),
  Buffer.alloc(8),
]);

const SAMPLE = [
  { key: 'first', value: 'one' },
  { key: 'number', value: '42' },
  { key: 'idle', value: 'two' },
  { key: 'last', value: 'three' },
];

describe('a sample of an RDB file', () => {
  it('is its first strings that stay, whatever lies between them', () => {
    expect(sampleOf(FILE)).toEqual(SAMPLE);
  });

  it('of a beginning of the file is a beginning of the sample', () => {
    for (let length = 0; length <= FILE.length; length++) {
      const sample = sampleOf(FILE.subarray(0, length));
      expect(SAMPLE.slice(0, sample.length)).toEqual(sample);
    }
  });

  it('ends at what it does not know, and never throws', () => {
    const stream = Buffer.concat([Buffer.from('REDIS0010'), pair('a', 'b'), byte(21), text('stream')]);
    expect(sampleOf(stream)).toEqual([{ key: 'a', value: 'b' }]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(sampleOf(Buffer.concat([Buffer.from('REDIS0010'), bytes])).length).toBeLessThanOrEqual(64);
      }),
    );
  });

  it('has 64 keys at most', () => {
    const many = Array.from({ length: 100 }, (_, index) => pair(`key-${String(index)}`, 'v'));
    expect(sampleOf(Buffer.concat([Buffer.from('REDIS0010'), ...many]))).toHaveLength(64);
  });
});
