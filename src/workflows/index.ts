/** Every workflow type, by its name. */
export { bringUpFollower } from './bringUpFollower.js';
export { provisionServer } from './provisionServer.js';
export { switchover } from './switchover.js';
