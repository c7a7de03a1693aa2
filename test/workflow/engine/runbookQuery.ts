import type { RunbookState } from '../../../src/fleet/runbook.js';
import { defineQuery } from '@temporalio/workflow';

export const runbookQuery = defineQuery<RunbookState>('runbook');
