/** Runbooks that are under way when a worker is updated must go on: recorded histories replay with today's code. */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { beforeAll, describe, expect, test } from 'vitest';
import { WORKFLOW_TYPES } from '../../src/fleet/names.js';

const HISTORIES = fileURLToPath(new URL('../histories/', import.meta.url));
const WORKFLOWS = fileURLToPath(new URL('../../dist/workflows/index.js', import.meta.url));
const recorded = readdirSync(HISTORIES).filter((name) => name.endsWith('.json'));

let workflowBundle: WorkflowBundleWithSourceMap;

beforeAll(async () => {
  workflowBundle = await bundleWorkflowCode({ workflowsPath: WORKFLOWS });
});

test('every workflow type has a recorded history', () => {
  for (const type of WORKFLOW_TYPES) {
    expect(recorded.some((name) => name.startsWith(type))).toBe(true);
  }
});

describe('recorded histories', () => {
  test.each(recorded)('%s replays', async (name) => {
    const history: unknown = JSON.parse(readFileSync(path.join(HISTORIES, name), 'utf8'));
    await expect(
      Worker.runReplayHistory({ workflowBundle }, history, name.replace('.json', '')),
    ).resolves.toBeUndefined();
  });
});

test('the replay notices a workflow that changed its shape', async () => {
  const name = 'provisionServer.json';
  const text = readFileSync(path.join(HISTORIES, name), 'utf8');
  const history: unknown = JSON.parse(
    text.replaceAll('"claimDatabases"', '"renamed"').replaceAll('"createRecords"', '"renamed"'),
  );
  await expect(Worker.runReplayHistory({ workflowBundle }, history, 'changed')).rejects.toThrow(
    /nondeterminism|renamed/i,
  );
});
