/** The steps of a move, in words. */

export const CHECK = { name: 'check the request', does: 'Validates the argument.' };
export const PLAN = {
  name: 'find the places',
  does: 'Reads the record and the applied fleet, and decides on which hosts and ports the new pair shall run.',
};
export const LOOK = {
  name: 'look at all hosts',
  does: 'The follower has what its leader has; the targets have the memory, the disk and the ports; the backlog will do.',
};
export const CLAIM = { name: 'claim the database', does: 'No other runbook may change it meanwhile.' };
export const WIDEN = {
  name: 'widen the backlog',
  does: "Widens the leader's backlog where the new processes might need more than it holds.",
};
export const START = {
  name: 'start the new processes',
  does: 'Starts them on the target hosts, empty, gated and following nobody.',
};
export const COPY = {
  name: 'copy from the follower',
  does: 'Opens the gate of the old follower for the new processes: one fork there, none on the leader.',
};
/** Its approval is asked for by this name, where the copy fits in no other way. */
export const COPY_IN_PAUSE = {
  name: 'copy while writes wait',
  does: 'Pauses writes on the leader while the follower forks, so that next to nothing is copied for the fork.',
};
export const FOLLOW = {
  name: 'follow the leader',
  does: 'Points the new processes at the leader: a partial synchronisation.',
};
export const EQUAL_OFFSETS = {
  name: 'wait for equal offsets',
  does: 'Waits until the new processes have reached an offset that their leader had.',
};
export const PROVE_FORKS = {
  name: 'prove the forks',
  does: "Compares the leader's own fork counter with that of the beginning.",
};
export const RECORD_NEW = {
  name: 'record the new processes',
  does: 'The record names them as further followers: from here on everybody knows them.',
};
/** Its approval is asked for by this name, where the request wants to be asked. */
export const HAND_OVER = {
  name: 'hand over',
  does: 'Pauses writes, waits for equal offsets, demotes the leader, promotes the new one, sets the record.',
};
export const LET_GO = {
  name: 'let clients go',
  does: "Closes the applications' connections to the old leader: they come back at the new one.",
};
export const REPOINT = {
  name: 'point the followers at the new leader',
  does: 'The new follower first, then the old pair and whoever else follows: partial synchronisations, nobody forks.',
};
export const PROVE_PAIR = {
  name: 'prove the new pair',
  does: 'The new leader takes writes, its new follower gets them, and nobody forked.',
};
export const RECORD_MOVED = {
  name: 'record the move',
  does: 'The record names the new pair and its server; the old processes are further followers.',
};
export const STOP = {
  name: 'stop the old processes',
  does: 'They follow to the end, and are not needed any more.',
};
export const FORGET = { name: 'forget the old processes', does: 'The record does not name them any more.' };
export const REMOVE = {
  name: 'remove the old files',
  does: 'Removes the directories of the old processes.',
};
export const RELEASE = { name: 'release the database', does: 'Other runbooks may work on it.' };

export const UNTIL_PLANNED = [CHECK, PLAN, LOOK, CLAIM];
const JOIN = [FOLLOW, EQUAL_OFFSETS, PROVE_FORKS, RECORD_NEW];
const CHANGE = [HAND_OVER, LET_GO, REPOINT, PROVE_PAIR, RECORD_MOVED, STOP, FORGET, REMOVE, RELEASE];

/** `receives`: there are processes to bring up. */
export function outlineOf(receives: boolean): readonly { readonly name: string; readonly does: string }[] {
  return [...(receives ? [WIDEN, START, COPY, ...JOIN] : []), ...CHANGE];
}

/** What is left to do, once it turned out that writes have to wait for the copy. */
export const WITH_PAUSE = [COPY_IN_PAUSE, ...JOIN, ...CHANGE];
