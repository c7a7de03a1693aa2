/** What an agent says when it keeps a leader from serving, and when it lets it serve again. */

import { showEndpoint, type DatabaseRecord } from '../fleet/record.js';

/** @param owner the promotion that broke the lease, where there was one */
export function whyFenced(host: string, owner: string | undefined): string {
  return owner === undefined
    ? `the lease of ${host} could not be renewed, and its follower does not acknowledge`
    : `the lease of ${host} had been broken, and ${owner} is about to promote somebody`;
}

export function fencedSentence(database: string, why: string): string {
  return (
    `Fenced ${database}: it takes no writes from now on, because ${why}. Reads are served. It serves again by itself ` +
    'once the lease is held, and the record names it and is owned by no promotion.'
  );
}

export function killedSentence(database: string, pid: number, host: string): string {
  return (
    `Killed ${database} (pid ${pid}): ${host} may not let it serve now, since somebody else may lead soon, and it did ` +
    'not obey its fence in time. Its data file stays. Look at `redis-fleet status`, and bring it up again with ' +
    `\`redis-fleet bring-up ${database}\`.`
  );
}

export function servesSentence(database: string, host: string): string {
  return `${database} takes writes again: ${host} holds its lease, and the record names it as the leader.`;
}

export function deposedSentence(
  host: string,
  { database, leader, epoch, promotion }: DatabaseRecord,
  how: 'demoted' | 'killed',
): string {
  const by = promotion ? ` (${promotion.by})` : '';
  const done =
    how === 'killed' ? 'did not obey, and was killed' : 'follows nobody now, and its clients were cut';
  return (
    `${database} on ${host} led although its record names ${showEndpoint(leader)} since epoch ${epoch}${by}: it ${done}. ` +
    `Its data stay. Make it a follower with \`redis-fleet bring-up ${database}\`.`
  );
}
