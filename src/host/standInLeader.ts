/**
 * A leader that has nothing to say. A process that was loaded from its file and then promoted has no replication
 * backlog, and would make itself a new replication history when its first follower asks: a full synchronisation. One
 * that has followed a leader by a partial synchronisation, be it without a single byte, has a backlog that begins
 * where its file ends, and keeps its history when it is promoted. So its followers, saved at the same offset, fit.
 */

import type { Socket } from 'node:net';
import { ownServer, type OwnServer } from './ownServer.js';

/**
 * It accepts every position, so only a process whose file is known to be the last state may follow it.
 * @param address one of this machine, which that process reaches
 */
export function standInLeader(address = '127.0.0.1'): Promise<OwnServer> {
  return ownServer(address, answer);
}

function answer(socket: Socket): void {
  let unread = '';
  socket.setEncoding('latin1').on('data', (data: string) => {
    unread += data;
    for (;;) {
      const command = firstCommand(unread);
      if (command === null) return;
      unread = unread.slice(command.length);
      const reply = REPLIES[command.name];
      if (reply !== undefined && !command.isAcknowledgement) socket.write(`${reply}\r\n`);
    }
  });
}

const REPLIES: Readonly<Record<string, string>> = {
  PING: '+PONG',
  AUTH: '+OK',
  REPLCONF: '+OK',
  PSYNC: '+CONTINUE',
};

interface Command {
  readonly name: string;
  /** `REPLCONF ACK`, which no leader answers. */
  readonly isAcknowledgement: boolean;
  /** Of its bytes in the stream. */
  readonly length: number;
}

/** The first whole command of a stream of Redis's protocol; null: not there yet. */
function firstCommand(stream: string): Command | null {
  const head = /^\*(\d+)\r\n/.exec(stream);
  if (!head) return null;
  const words: string[] = [];
  let at = head[0].length;
  for (let left = Number(head[1]); left > 0; left--) {
    const size = /^\$(\d+)\r\n/.exec(stream.slice(at, at + 16));
    if (!size) return null;
    const start = at + size[0].length;
    const end = start + Number(size[1]);
    if (stream.length < end + 2) return null;
    words.push(stream.slice(start, end).toUpperCase());
    at = end + 2;
  }
  return {
    name: words[0] ?? '',
    isAcknowledgement: words[0] === 'REPLCONF' && words[1] === 'ACK',
    length: at,
  };
}
