import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRdbHeader, rdbTailProblem, writeEmptyRdb } from '../../src/fleet/rdbFile.js';
import type { ReplicationPosition } from '../../src/fleet/facts.js';

const positions: fc.Arbitrary<ReplicationPosition> = fc.record({
  id: fc.stringMatching(/^[0-9a-f]{40}$/),
  offset: fc.maxSafeNat(),
});

const ID = '3f'.repeat(20);
const AUX = 0xfa;
const EOF_MARK = 0xff;

type Encoding = (text: string) => number[];
const bytes = (text: string): number[] => [...Buffer.from(text, 'latin1')];
const in6Bits: Encoding = (text) => [text.length, ...bytes(text)];
const in14Bits: Encoding = (text) => [0x40 | (text.length >> 8), text.length & 0xff, ...bytes(text)];
const in32Bits: Encoding = (text) => [0x80, 0, 0, 0, text.length, ...bytes(text)];
const in64Bits: Encoding = (text) => [0x81, 0, 0, 0, 0, 0, 0, 0, text.length, ...bytes(text)];
/** LZF with literals only. */
const compressed: Encoding = (text) => {
  const runs = text.match(/.{1,32}/g) ?? [];
  const content = runs.flatMap((run) => [run.length - 1, ...bytes(run)]);
  return [0xc3, content.length, text.length, ...content];
};
const int8: Encoding = (text) => [0xc0, Number(text) & 0xff];
const int16: Encoding = (text) => [0xc1, Number(text) & 0xff, (Number(text) >> 8) & 0xff];
const int32: Encoding = (text) => {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(Number(text));
  return [0xc2, ...buffer];
};

function fileOf(fields: readonly (readonly [name: number[], value: number[]])[], version = '0010'): Buffer {
  return Buffer.from([
    ...bytes(`REDIS${version}`),
    ...fields.flatMap(([name, value]) => [AUX, ...name, ...value]),
    EOF_MARK,
    ...new Array<number>(8).fill(7),
  ]);
}

function headerOf(file: Uint8Array) {
  const result = parseRdbHeader(file);
  if (!result.ok) throw new Error(`${result.problem}: ${result.why}`);
  return result.header;
}

describe('an empty file at a position', () => {
  it('reads back as that position, whatever it is', () => {
    fc.assert(
      fc.property(positions, (position) => {
        const file = writeEmptyRdb(position);
        const header = headerOf(file);
        expect(header.position).toEqual(position);
        expect(header.rdbVersion).toBe(9);
        expect(rdbTailProblem(header, file)).toBeNull();
      }),
    );
  });

  it('is never taken for complete when it was cut short, at whatever byte', () => {
    fc.assert(
      fc.property(positions, (position) => {
        const file = writeEmptyRdb(position);
        for (let length = 0; length < file.length; length++) {
          const cut = file.subarray(0, length);
          const result = parseRdbHeader(cut);
          const problem = result.ok ? rdbTailProblem(result.header, cut.subarray(-9)) : result.problem;
          expect(problem, `cut to ${length} bytes`).not.toBeNull();
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('a header', () => {
  it.each([
    ['6 bits', in6Bits],
    ['14 bits', in14Bits],
    ['32 bits', in32Bits],
    ['64 bits', in64Bits],
    ['LZF', compressed],
  ])('is read with string lengths in %s', (_name, encode) => {
    const header = headerOf(
      fileOf([
        [encode('redis-ver'), encode('7.0.15')],
        [encode('ctime'), encode('1700000000')],
        [encode('repl-stream-db'), encode('0')],
        [encode('repl-id'), encode(ID)],
        [encode('repl-offset'), encode('123456789012')],
      ]),
    );
    expect(header).toEqual({
      rdbVersion: 10,
      redisVersion: '7.0.15',
      createdAt: '2023-11-14T22:13:20.000Z',
      position: { id: ID, offset: 123456789012 },
    });
  });

  it.each([
    ['8 bits', int8, '100'],
    ['16 bits', int16, '30000'],
    ['32 bits', int32, '2000000000'],
  ])('is read with integers in %s', (_name, encode, offset) => {
    const header = headerOf(
      fileOf([
        [in6Bits('repl-stream-db'), int8('0')],
        [in6Bits('repl-id'), in6Bits(ID)],
        [in6Bits('repl-offset'), encode(offset)],
      ]),
    );
    expect(header.position).toEqual({ id: ID, offset: Number(offset) });
  });

  it('expands what LZF refers back to, even where it overlaps', () => {
    // "aaaaaaaaaa": one literal, then a reference of nine bytes to the byte before.
    const value = [0xc3, 5, 10, 0, bytes('a')[0] ?? 0, 0xe0, 0, 0];
    expect(headerOf(fileOf([[in6Bits('redis-ver'), value]])).redisVersion).toBe('a'.repeat(10));
  });

  it.each([
    ['no offset', [[in6Bits('repl-id'), in6Bits(ID)]]],
    [
      'no stream database',
      [
        [in6Bits('repl-id'), in6Bits(ID)],
        [in6Bits('repl-offset'), in6Bits('5')],
      ],
    ],
    [
      'an unknown stream database',
      [
        [in6Bits('repl-id'), in6Bits(ID)],
        [in6Bits('repl-offset'), in6Bits('5')],
        [in6Bits('repl-stream-db'), int8('-1')],
      ],
    ],
  ] as const)('gives no position when there is %s: Redis would not use it either', (_name, fields) => {
    expect(
      headerOf(fileOf(fields.map(([name, value]) => [[...name], [...value]] as const))).position,
    ).toBeNull();
  });

  it('never throws, whatever bytes follow the magic', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (rest) => {
        const result = parseRdbHeader(Buffer.concat([Buffer.from('REDIS0010'), rest]));
        expect(typeof result.ok).toBe('boolean');
      }),
    );
  });

  it.each([
    ['foreign', 'VALKEY080'],
    ['foreign', 'PK\u0003\u0004 a zip file'],
    ['foreign', 'REDISxxxx'],
    ['foreign', 'SELECT 1;'],
    ['truncated', 'REDI'],
    ['truncated', 'REDIS0010'],
    ['empty', ''],
  ])('is %s when the file is %j', (problem, text) => {
    const result = parseRdbHeader(Buffer.from(text));
    expect(result.ok ? 'ok' : result.problem).toBe(problem);
  });
});
