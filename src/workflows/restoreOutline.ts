/** The steps of a restore, in words. */

export const CHECK = { name: 'check the request', does: 'Validates the argument.' };
export const PLACE = {
  name: 'decide where',
  does: 'Reads the record and the applied fleet, and decides on which hosts the restored database shall run.',
};
export const CLAIM = { name: 'claim the database', does: 'No other runbook may change it meanwhile.' };
export const LOOK = {
  name: 'look at what is there',
  does: 'Looks at every process and data file of the database; none of them has to be there.',
};
export const CHOOSE = {
  name: 'choose the backup',
  does: 'Lists the store, and decides which backup is taken, and which ones if that one turns out damaged.',
};
export const CHECK_HOSTS = {
  name: 'check the hosts',
  does: 'Both agents answer; memory, disk and ports suffice.',
};
export const CREATE = {
  name: 'claim the new database',
  does: 'Creates a record of epoch 0, owned by this runbook.',
};
export const FETCH = {
  name: 'fetch the backup',
  does: 'Brings the backup to the hosts and checks it to the last byte; a damaged one is passed over.',
};
/** Its approval is asked for by this name. */
export const REPLACE = {
  name: 'replace the data',
  does: 'Stops the processes of the database, the leader first, with their data saved. From here on nobody can write.',
};
export const PUT = {
  name: 'put the backup in place',
  does: 'Makes it the data file of the leader and of the follower; what was there is kept aside.',
};
export const START = {
  name: 'start from the backup',
  does: 'Starts both, following nobody, and compares what they loaded with what the backup has.',
};
export const LEAD = {
  name: 'lead from the backup',
  does: 'Makes one lead, with the replication history of the backup. It takes no writes yet.',
};
export const FOLLOW = {
  name: 'follow the leader',
  does: 'Points the other at it: a partial synchronisation, and equal offsets.',
};
export const PROVE = {
  name: 'prove that the leader did not fork',
  does: "Reads the leader's own counter.",
};
export const PUBLISH = {
  name: 'publish the record',
  does: 'The next epoch, by compare-and-set; then the leader takes writes.',
};
export const TIDY = {
  name: 'tidy up',
  does: 'Removes the data that was replaced, and what was fetched.',
};
export const RELEASE = { name: 'release the database', does: 'Other runbooks may work on it.' };

const FROM_THE_BACKUP = [PUT, START, LEAD, FOLLOW, PROVE, PUBLISH, TIDY, RELEASE];
export const IN_PLACE_STEPS = [CHECK, PLACE, LOOK, CLAIM, CHOOSE, FETCH, REPLACE, ...FROM_THE_BACKUP];
export const BESIDE_STEPS = [CHECK, PLACE, CHECK_HOSTS, CHOOSE, CREATE, FETCH, ...FROM_THE_BACKUP];
export const DRY_IN_PLACE_STEPS = [CHECK, PLACE, LOOK, CHOOSE];
export const DRY_BESIDE_STEPS = [CHECK, PLACE, CHECK_HOSTS, CHOOSE];
