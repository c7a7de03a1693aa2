/** The steps of a bring-up, in words. Which of them a run has depends on the way. */

import type { ChosenWay } from '../fleet/bringUp.js';

export const CHECK = { name: 'check the request', does: 'Validates the argument.' };
export const PLACE = {
  name: 'find the database',
  does: 'Reads its record and decides on which host the follower shall run.',
};
export const CLAIM = { name: 'claim the database', does: 'No other runbook may change it meanwhile.' };
export const CHOOSE = {
  name: 'choose the way',
  does: 'Looks at the leader, at all files and other followers, and chooses the way that spares the leader most.',
};
export const WIDEN = {
  name: 'widen the backlog',
  does: "Widens the leader's backlog, so that it covers the time of loading.",
};
export const START = {
  name: 'start the follower',
  does: 'Puts its data file in place and starts it, following nobody yet.',
};
export const SYNCHRONISE = {
  name: 'synchronise from another follower',
  does: 'Opens the gate of the other follower for this one: the fork is there, not on the leader.',
};
export const FULL = {
  name: 'synchronise from the leader',
  does: 'Opens the gate of the leader for this one follower: the leader forks once.',
};
export const FOLLOW = {
  name: 'follow the leader',
  does: 'Points the follower at its leader: a partial synchronisation.',
};
export const EQUAL_OFFSETS = {
  name: 'wait for equal offsets',
  does: 'Waits until the follower has reached an offset that its leader had.',
};
export const PROVE = {
  name: 'prove the forks',
  does: "Compares the leader's own fork counter with that of the beginning.",
};
export const RECORD = { name: 'record the follower', does: 'The record names it, and the catalog follows.' };
export const TIDY = {
  name: 'tidy up',
  does: 'The backlog gets its configured size back, and the old data file is removed.',
};
export const RELEASE = { name: 'release the database', does: 'Other runbooks may work on it.' };

export const BEFORE_THE_CHOICE = [CHECK, PLACE, CLAIM, CHOOSE, EQUAL_OFFSETS, PROVE, RECORD, TIDY, RELEASE];
const AT_THE_END = [EQUAL_OFFSETS, PROVE, RECORD, TIDY, RELEASE];
export const STEPS_BY_WAY = {
  following: AT_THE_END,
  'own-files': [WIDEN, START, FOLLOW, ...AT_THE_END],
  backup: [WIDEN, START, FOLLOW, ...AT_THE_END],
  chain: [WIDEN, START, SYNCHRONISE, FOLLOW, ...AT_THE_END],
  full: [START, FULL, ...AT_THE_END],
} as const satisfies Record<ChosenWay['way'], unknown>;
