import { mkdtempSync, rmSync, writeFileSync, chmodSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Digest } from '../../src/backups/digest.js';
import { decrypted, encrypted, NoKeyFits, NotDecryptable } from '../../src/backups/encryption.js';
import { keyId, readKeyring } from '../../src/backups/keyring.js';
import { Pace, paced } from '../../src/backups/pacing.js';
import { compressed, decompressed, FRAME_PLAIN_BYTES, NotOurFrames } from '../../src/backups/zstdFrames.js';
import { withoutSecrets } from '../../src/connections/redaction.js';
import { gather, inPieces, someContent } from './backupPieces.js';

const MB = 1024 ** 2;
const FEW = { numRuns: 25 };

describe('compression', () => {
  it('gives back what it was given, however it is cut into pieces', async () => {
    const content = someContent(3 * MB + 12_345);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(content.length),
        fc.integer({ min: 1_000, max: 2 * MB }),
        fc.integer({ min: 1_000, max: 2 * MB }),
        fc.integer({ min: 1, max: 6 }),
        async (bytes, given, read, level) => {
          const plain = content.subarray(0, bytes);
          const stored = await gather(compressed(inPieces(plain, given), level));
          expect((await gather(decompressed(inPieces(stored, read)))).equals(plain)).toBe(true);
        },
      ),
      FEW,
    );
  });

  it.each([1, 3, 12, 19])(
    'reads its own frames of level %i, also of content that does not compress',
    async (level) => {
      for (const content of [
        someContent(MB),
        Buffer.alloc(MB),
        crypto.getRandomValues(new Uint8Array(60_000)),
      ]) {
        const stored = await gather(compressed(inPieces(content, MB), level));
        expect((await gather(decompressed(inPieces(stored, 65_536)))).equals(content)).toBe(true);
      }
    },
  );

  it('is the same at every attempt, so that an upload can be gone on with', async () => {
    const content = someContent(2 * MB + 1);
    const once = await gather(compressed(inPieces(content, 70_000), 3));
    expect((await gather(compressed(inPieces(content, MB), 3))).equals(once)).toBe(true);
    expect(once.length).toBeLessThan(content.length * 0.7);
  });

  it('refuses what was cut short anywhere but between two frames, where a checksum has to tell', async () => {
    const stored = await gather(compressed(inPieces(someContent(FRAME_PLAIN_BYTES + 100), MB), 3));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: stored.length - 1 }), async (length) => {
        const result = gather(decompressed(inPieces(stored.subarray(0, length), MB)));
        const whole = await result.then(
          (plain) => plain.length,
          (error: unknown) => error,
        );
        if (typeof whole === 'number') expect(whole).toBe(FRAME_PLAIN_BYTES);
        else expect(whole).toBeInstanceOf(NotOurFrames);
      }),
      FEW,
    );
  });

  it('refuses what is no zstd, and a frame that would fill the memory', async () => {
    await expect(gather(decompressed(inPieces(Buffer.from('REDIS0010 and so on'), 5)))).rejects.toThrow(
      NotOurFrames,
    );
    // A header, and then blocks of one repeated byte, 128 KiB each, without end.
    const block = Buffer.alloc(4);
    block.writeUIntLE((1 << 1) | (131_072 << 3), 0, 3);
    const bomb = Buffer.concat([
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]),
      ...Array.from({ length: 10_000 }, () => block),
    ]);
    await expect(gather(decompressed(inPieces(bomb, 4096)))).rejects.toThrow('larger than any that we write');
  });

  it('tells a failure of what it reads from as what it is', async () => {
    // eslint-disable-next-line @typescript-eslint/require-await -- there is nothing to wait for
    async function* broken(before: Uint8Array) {
      yield before;
      throw new Error('the disk is gone');
    }
    const stored = await gather(encrypted(inPieces(someContent(MB), MB), ring.recipients));
    const half = stored.subarray(0, MB / 2);
    await expect(gather(compressed(broken(Buffer.alloc(MB)), 3))).rejects.toThrow('the disk is gone');
    await expect(gather(encrypted(broken(Buffer.alloc(MB)), ring.recipients))).rejects.toThrow(
      'the disk is gone',
    );
    await expect(gather(decrypted(broken(half), ring.identities))).rejects.toThrow('the disk is gone');
  });
});

let ring: Awaited<ReturnType<typeof readKeyring>>;
let otherRing: typeof ring;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'redis-fleet-keys-'));
  ring = await newRing();
  otherRing = await newRing();
});
afterAll(() => rmSync(folder, { recursive: true }));

async function newRing() {
  const identity = await generateX25519Identity();
  return readKeyring({
    REDIS_FLEET_BACKUP_IDENTITIES: identity,
    REDIS_FLEET_BACKUP_RECIPIENTS: await identityToRecipient(identity),
  });
}

describe('encryption', () => {
  it('gives back what it was given, however it is cut into pieces', async () => {
    const content = someContent(400_000);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(content.length),
        fc.integer({ min: 1_000, max: MB }),
        fc.integer({ min: 500, max: MB }),
        async (bytes, given, read) => {
          const plain = content.subarray(0, bytes);
          const stored = await gather(encrypted(inPieces(plain, given), ring.recipients));
          expect((await gather(decrypted(inPieces(stored, read), ring.identities))).equals(plain)).toBe(true);
        },
      ),
      FEW,
    );
  });

  it('can be read by each recipient, so that keys can be rotated, and by nobody else', async () => {
    const both = [...ring.recipients, ...otherRing.recipients];
    const plain = Buffer.from('REDIS');
    const old = await gather(encrypted(inPieces(plain, MB), ring.recipients));
    const during = await gather(encrypted(inPieces(plain, MB), both));
    const all = [...otherRing.identities, ...ring.identities];
    expect((await gather(decrypted(inPieces(old, MB), all))).equals(plain)).toBe(true);
    for (const { identities } of [ring, otherRing]) {
      expect((await gather(decrypted(inPieces(during, MB), identities))).equals(plain)).toBe(true);
    }
    await expect(gather(decrypted(inPieces(old, MB), otherRing.identities))).rejects.toThrow(NoKeyFits);
  });

  it('notices every change and every cut', async () => {
    const stored = await gather(encrypted(inPieces(someContent(200_000), MB), ring.recipients));
    await fc.assert(
      fc.asyncProperty(fc.nat(stored.length - 1), fc.boolean(), async (at, cut) => {
        const changed = cut ? stored.subarray(0, at) : Buffer.from(stored);
        if (!cut) changed[at] = (changed[at] ?? 0) ^ 1;
        const result = await gather(decrypted(inPieces(changed, MB), ring.identities)).catch(
          (error: unknown) => error,
        );
        expect(result instanceof NotDecryptable || result instanceof NoKeyFits).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});

describe('keys', () => {
  it('come from files, as age-keygen writes them; their ids are those of their public halves', async () => {
    const identity = await generateX25519Identity();
    const recipient = await identityToRecipient(identity);
    const file = path.join(folder, 'identities');
    writeFileSync(file, `# created: today\n# public key: ${recipient}\n${identity}\n`, { mode: 0o600 });
    const keyring = await readKeyring({
      REDIS_FLEET_BACKUP_IDENTITIES_FILE: file,
      REDIS_FLEET_BACKUP_RECIPIENTS: `${recipient}, ${ring.recipients[0]?.recipient ?? ''}`,
    });
    expect(keyring.identities.map(({ id }) => id)).toEqual([keyId(recipient)]);
    expect(keyring.recipients.map(({ id }) => id)).toEqual([keyId(recipient), ring.recipients[0]?.id]);
    expect(withoutSecrets(`what if ${identity} is logged`)).toBe('what if *** is logged');
  });

  it('are none where none are named', async () => {
    expect(await readKeyring({})).toEqual({ recipients: [], identities: [] });
  });

  it('that others may read, or that are none, are refused, and never repeated', async () => {
    const file = path.join(folder, 'open');
    writeFileSync(file, await generateX25519Identity());
    chmodSync(file, 0o644);
    await expect(readKeyring({ REDIS_FLEET_BACKUP_IDENTITIES_FILE: file })).rejects.toThrow(
      `chmod 600 ${file}`,
    );
    await expect(readKeyring({ REDIS_FLEET_BACKUP_IDENTITIES_FILE: '/none' })).rejects.toThrow(
      'cannot be read',
    );
    await expect(readKeyring({ REDIS_FLEET_BACKUP_RECIPIENTS: 'age1nonsense' })).rejects.toThrow(
      'no recipient',
    );
    const secret = 'AGE-SECRET-KEY-1NOTREALLYAKEY';
    const refusal = await readKeyring({ REDIS_FLEET_BACKUP_IDENTITIES: secret }).catch(String);
    expect(refusal).toContain('no identity');
    expect(refusal).not.toContain(secret);
    await expect(
      readKeyring({ REDIS_FLEET_BACKUP_IDENTITIES: secret, REDIS_FLEET_BACKUP_IDENTITIES_FILE: file }),
    ).rejects.toThrow('both set');
  });
});

describe('the rate limit', () => {
  it('lets no more through than its rate, and a small burst, over any stretch of time', () => {
    const step = fc.record({
      bytes: fc.integer({ min: 1, max: 500_000 }),
      idle: fc.integer({ min: 0, max: 2_000 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 10_000, max: 1e9 }),
        fc.array(step, { minLength: 2, maxLength: 50 }),
        (rate, steps) => {
          const pace = new Pace(rate);
          let now = 0;
          const passed = steps.map(({ bytes, idle }) => {
            now += idle;
            now += pace.wait(bytes, now);
            return { at: now, bytes };
          });
          for (const [from, first] of passed.entries()) {
            let bytes = 0;
            for (const { at, bytes: more } of passed.slice(from + 1)) {
              bytes += more;
              const allowed = ((at - first.at) / 1_000) * rate + 0.25 * rate;
              expect(bytes).toBeLessThanOrEqual(allowed + 1);
            }
          }
        },
      ),
    );
  });

  it('takes the time that it should, and can be broken off', async () => {
    const began = performance.now();
    expect(await gather(paced(inPieces(someContent(300_000), 50_000), 1_000_000))).toHaveLength(300_000);
    expect(performance.now() - began).toBeGreaterThan(40);
    const stop = new AbortController();
    const slow = gather(paced(inPieces(someContent(300_000), 50_000), 1_000, stop.signal));
    stop.abort();
    await expect(slow).rejects.toThrow('aborted');
  });
});

it('a digest is that of all that passed', async () => {
  const digest = new Digest();
  await gather(digest.of(inPieces(Buffer.from('abc'), 2)));
  expect(digest.bytes).toBe(3);
  expect(digest.sha256).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
