/** Run as a process of its own, to be killed in the middle: `hostPlacing.ts DATA DATABASE FILE`. */

import { placeCopy } from '../../src/host/dataFiles.js';
import { processFiles } from '../../src/host/layout.js';

const [data = '', database = '', file = ''] = process.argv.slice(-3);
process.stdout.write('placing\n');
await placeCopy(processFiles(data, database), 'nobody', file);
process.stdout.write('placed\n');
