import { createServer, connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { Drain } from '../../src/client/drain.js';

/** Nothing else runs meanwhile, as when a machine is busy. */
function holdUp(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('the wait for the last answers', () => {
  test('reads what came while the event loop was held up beyond the grace', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const [[accepted], socket] = await Promise.all([
      once(server, 'connection') as Promise<[Socket]>,
      (async () => {
        const opened = connect(address.port, '127.0.0.1');
        await once(opened, 'connect');
        return opened;
      })(),
    ]);
    const drain = new Drain();
    const story: string[] = [];
    socket.on('data', () => {
      story.push('answer');
      drain.end();
    });
    const over = new Promise<void>((resolve) => {
      drain.wait(1, 20, () => {
        story.push('over');
        resolve();
      });
    });
    await new Promise((resolve) => accepted.write('+OK\r\n', resolve));
    holdUp(60);
    await over;
    expect(story).toEqual(['answer', 'over']);
    socket.destroy();
    server.close();
  });

  test('ends after the grace when nothing comes, and once', async () => {
    const drain = new Drain();
    let ended = 0;
    await new Promise<void>((resolve) => {
      drain.wait(1, 5, () => {
        ended++;
        resolve();
      });
    });
    drain.end();
    expect(ended).toBe(1);
  });

  test('is over when it is forgotten, or begun anew', async () => {
    const drain = new Drain();
    const ended: string[] = [];
    drain.wait(1, 1, () => ended.push('first'));
    await new Promise<void>((resolve) => {
      drain.wait(1, 1, () => {
        ended.push('second');
        resolve();
      });
    });
    expect(ended).toEqual(['second']);
  });
});
