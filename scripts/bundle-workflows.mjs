/** Bundles the compiled workflows once, so that no worker does it at its start: bundle-workflows.mjs INDEX BUNDLE */

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';

const [index, bundle] = process.argv.slice(2).map((file) => path.resolve(file));
const quiet = () => undefined;
// webpack's statistics are no news; its warnings and errors are.
const logger = {
  trace: quiet,
  debug: quiet,
  info: quiet,
  log: quiet,
  warn: (message) => process.stderr.write(`${message}\n`),
  error: (message) => process.stderr.write(`${message}\n`),
};

try {
  const { code } = await bundleWorkflowCode({ workflowsPath: index, logger });
  writeFileSync(bundle, code);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
