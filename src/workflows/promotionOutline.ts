/** The steps of a promotion, in words. Those that ask an engineer are announced only when they are needed. */

export const CHECK = { name: 'check the request', does: 'Validates the argument.' };
export const APPROVE_ASKED = {
  name: 'approve the promotion',
  does: 'The policy is to ask first: nothing is changed, and nobody is kept from anything, until then.',
};
export const CLAIM = {
  name: 'claim the databases',
  does: 'No other runbook may change them meanwhile; planned ones give way.',
};
export const CONFIRM = {
  name: 'confirm the failures',
  does: 'Looks at each leader over the network, by its follower, and by what both agents say.',
};
export const APPROVE_BREAKER = {
  name: 'approve despite the breaker',
  does: 'Leaders on many servers failed at the same time.',
};
export const FENCE = {
  name: 'fence the old leaders',
  does: 'Makes sure that those which may still live take no more writes.',
};
export const PROMOTE = {
  name: 'promote the followers',
  does: 'The most advanced follower of each leads, and the record says so.',
};
export const APPROVE_AGAIN = {
  name: 'approve another promotion',
  does: 'Databases that were promoted a moment ago are promoted again only with your word.',
};
export const FENCE_AGAIN = { name: 'fence those approved', does: FENCE.does };
export const APPROVE_UNFENCED = {
  name: 'approve without a fence',
  does: 'Nobody can make sure that the old leader takes no more writes.',
};
export const CONFIRM_AGAIN = {
  name: 'confirm again',
  does: 'Looks at the leaders again after the time that the approval took.',
};
export const PROMOTE_APPROVED = { name: 'promote those approved', does: PROMOTE.does };
export const PROMOTE_LEFT = {
  name: 'promote what is left',
  does: 'Tries again those that could not be promoted after their leader was fenced.',
};
export const TIDY = {
  name: 'tidy up',
  does: 'The catalog and other followers follow the new leaders; an old leader that answers is fenced.',
};
export const RELEASE = { name: 'release the databases', does: 'Other runbooks may work on them.' };

export const USUAL_STEPS = [CHECK, CLAIM, CONFIRM, PROMOTE, TIDY, RELEASE];
export const DRY_STEPS = [CHECK, CLAIM, CONFIRM];
