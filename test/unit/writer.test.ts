import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AckLog } from '../../src/testbed/ackLog.js';
import { openClient } from '../../src/testbed/clients.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';

const WHERE = { address: `127.77.${process.pid % 250}.1`, port: 6399 };

describe('the memory of acknowledged writes', () => {
  it('gives back exactly what was put in, ascending, whatever the order and the batches', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(3_000_000)), fc.integer({ min: 1, max: 50 }), (sequences, size) => {
        const log = new AckLog();
        for (const sequence of [...sequences, ...sequences]) log.add(sequence);
        const batches = [...log.batches(size)];
        expect(batches.flat()).toEqual([...sequences].sort((a, b) => a - b));
        expect(batches.every((batch) => batch.length <= size)).toBe(true);
        expect(log.count).toBe(sequences.length);
        expect(sequences.every((sequence) => log.has(sequence))).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a writer on a real server', () => {
  let directory: string;
  let server: ChildProcess | null = null;

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'redis-fleet-writer-'));
    server = await startRedis(directory);
  });

  afterEach(async () => {
    await kill(server);
    await rm(directory, { recursive: true, force: true });
  });

  it('keeps its rate, and finds all of its writes again', async () => {
    const writer = Writer.start({ locate: () => WHERE, rate: 500 });
    const started = performance.now();
    await waitFor(() => writer.counts.acknowledged >= 500, { deadlineMs: 5000, what: '500 writes' });
    const seconds = (performance.now() - started) / 1000;
    const counts = await writer.stop();

    expect(counts.acknowledged / seconds).toBeGreaterThan(250);
    expect(counts.acknowledged / seconds).toBeLessThan(600);
    expect(counts.failed).toBe(0);
    expect(await writer.verify(WHERE)).toEqual({ acknowledged: counts.acknowledged, lost: 0, firstLost: [] });
  });

  it('names exactly the writes that are gone or changed', async () => {
    const writer = Writer.start({ locate: () => WHERE, rate: 'full', prefix: 'mine:' });
    await waitFor(() => writer.counts.acknowledged >= 1000, { deadlineMs: 5000, what: '1000 writes' });
    await writer.stop();
    const client = openClient(WHERE, {}, 1000);
    await client.connect();
    await client.del('mine:7');
    await client.set('mine:8', 'somebody else');
    client.disconnect();

    expect(await writer.verify(WHERE)).toMatchObject({ lost: 2, firstLost: [7, 8] });
  });

  it('sees that a server reborn empty lost everything from before, and measures the gap', async () => {
    const writer = Writer.start({ locate: () => WHERE, rate: 200 });
    await waitFor(() => writer.counts.acknowledged >= 100, { deadlineMs: 5000, what: '100 writes' });
    await kill(server);
    await waitFor(() => writer.counts.problems.length > 0, { deadlineMs: 5000, what: 'a problem' });
    const before = writer.counts;
    server = await startRedis(directory);
    await waitFor(() => writer.counts.acknowledged >= before.acknowledged + 100, {
      deadlineMs: 5000,
      what: '100 more writes',
    });
    const after = await writer.stop();

    const read = await writer.verify(WHERE);
    expect(read.lost).toBe(before.acknowledged);
    expect(after.longestGapMs).toBeGreaterThan(10);
  });

  it('gives up on a frozen server, and counts what it does not know as failed, not as lost', async () => {
    const writer = Writer.start({ locate: () => WHERE, rate: 500, answerWithinMs: 200 });
    await waitFor(() => writer.counts.acknowledged >= 50, { deadlineMs: 5000, what: '50 writes' });
    server?.kill('SIGSTOP');
    await waitFor(() => writer.counts.failed > 0, { deadlineMs: 5000, what: 'a write given up' });
    server?.kill('SIGCONT');
    const { acknowledged, longestGapMs } = await writer.stop();

    expect(longestGapMs).toBeGreaterThanOrEqual(190);
    expect(await writer.verify(WHERE)).toMatchObject({ acknowledged, lost: 0 });
  });

  it('loads mixed data of the size asked for, the same for the same seed', async () => {
    const loaded = await loadData({ where: WHERE, megabytes: 4, seed: 3, prefix: 'x:' });
    const client = openClient(WHERE, {}, 1000);
    await client.connect();
    const digest = await client.call('DEBUG', 'DIGEST');
    const types = new Set(await Promise.all((await client.keys('x:*')).map((key) => client.type(key))));
    await client.flushall();
    const again = await loadData({ where: WHERE, megabytes: 4, seed: 3, prefix: 'x:' });

    expect(loaded.bytes).toBeGreaterThanOrEqual(4e6);
    expect(loaded.bytes).toBeLessThan(4.1e6);
    expect(types).toEqual(new Set(['string', 'hash', 'list', 'zset']));
    expect(again).toMatchObject({ keys: loaded.keys, bytes: loaded.bytes });
    expect(await client.call('DEBUG', 'DIGEST')).toBe(digest);
    client.disconnect();
  });
});

async function startRedis(directory: string): Promise<ChildProcess> {
  const binary = process.env['REDIS_FLEET_BIN_REDIS_SERVER'] ?? 'redis-server';
  const server = spawn(
    binary,
    [
      ...['--bind', WHERE.address, '--port', String(WHERE.port), '--dir', directory, '--save', ''],
      ...['--enable-debug-command', 'yes'],
    ],
    { stdio: 'ignore' },
  );
  await waitFor(
    async () => {
      const client = openClient(WHERE, {}, 500);
      try {
        await client.connect();
        return await client.ping();
      } finally {
        client.disconnect();
      }
    },
    { deadlineMs: 5000, what: `Redis at ${WHERE.address}:${WHERE.port}` },
  );
  return server;
}

async function kill(server: ChildProcess | null): Promise<void> {
  if (!server || server.exitCode !== null || server.signalCode !== null) return;
  const gone = once(server, 'exit');
  server.kill('SIGKILL');
  await gone;
}
