/** Every workflow type, by its name. */
export { backupDatabase } from './backupDatabase.js';
export { backupSweep } from './backupSweep.js';
export { bringUpFollower } from './bringUpFollower.js';
export { moveDatabase } from './moveDatabase.js';
export { relocateDatabases } from './relocateDatabases.js';
export { pauseWrites } from './pauseWrites.js';
export { promoteFollower } from './promoteFollower.js';
export { provisionServer } from './provisionServer.js';
export { switchover } from './switchover.js';
export { watchServer } from './watchServer.js';
export { restoreDatabase } from './restoreDatabase.js';
export { drillBackups } from './drillBackups.js';
