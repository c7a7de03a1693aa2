/** `redis-fleet agent`, as a process of its own, without a build. */

import { Command } from 'commander';
import { registerAgent } from '../../src/cli/agent.js';

// What runs us without a build listens, too, and would end us at once.
process.removeAllListeners('SIGTERM');
const program = new Command().exitOverride();
registerAgent(program);
try {
  await program.parseAsync(['node', 'redis-fleet', ...process.argv.slice(process.argv.indexOf('agent'))]);
} catch (error) {
  process.stderr.write(`redis-fleet: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
