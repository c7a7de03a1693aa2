/** The steps of a pause of writes, in words. */

export const CHECK = { name: 'check the request', does: 'Validates the argument.' };
export const LOOK = {
  name: 'look at the leaders',
  does: 'Asks each leader how large it is, and whether its writes can be paused.',
};
export const CLAIM = { name: 'claim the databases', does: 'No other runbook may change them meanwhile.' };
export const PAUSE = {
  name: 'pause writes',
  does: 'One leader after the other: writes wait, it forks, its child ends, writes go on.',
};
export const RELEASE = { name: 'release the databases', does: 'Other runbooks may work on them.' };
