/** A process of its own for clients that write all the time, so that who measures does not slow them. */

import { EventEmitter } from 'node:events';
import process from 'node:process';
import { FleetError, messageOf } from '../fleet/errors.js';
import { clientOf } from './trafficClients.js';
import type { TrafficAnswer, TrafficMessage, TrafficQuestion } from './trafficContract.js';
import { TrafficStream } from './trafficStream.js';

// ioredis adds a listener to its socket for every refusal that came with the one that made it reconnect.
EventEmitter.defaultMaxListeners = 0;

const streams: TrafficStream[] = [];

process.on('message', (message: TrafficMessage) => {
  const { id } = message;
  const reply = (answer: TrafficAnswer): void => void process.send?.(answer);
  answerTo(message.question).then(
    (answer) => reply({ id, answer: answer ?? null }),
    (error: unknown) => reply({ id, problem: messageOf(error) }),
  );
});
// Whoever asked is gone.
process.on('disconnect', () => process.exit(0));
// A terminal's Ctrl-C is for whoever measures.
process.on('SIGINT', () => undefined);

async function answerTo(question: TrafficQuestion): Promise<unknown> {
  switch (question.ask) {
    case 'start':
      for (const options of question.streams) streams.push(new TrafficStream(options, clientOf(options)));
      return null;
    case 'figures':
      return streams.map((stream) => stream.figures(question.window));
    case 'stop':
      await Promise.all(streams.map((stream) => stream.stop()));
      return null;
    case 'verify': {
      const stream = streams[question.index];
      if (stream === undefined)
        throw new FleetError('NotFound', `There is no stream ${question.index} here.`);
      return stream.verify(question.where, question.login);
    }
  }
}
