/** Runbooks by Temporal's visibility, which is a moment behind what happens. */

import type { Client, WorkflowExecutionInfo } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { FleetError, messageOf } from '../fleet/errors.js';
import { SEARCH_ATTRIBUTES, WORKFLOW_TYPES } from '../fleet/names.js';
import { RUNBOOK_STATUSES } from '../fleet/runbook.js';
import type { RunbookStatus } from '../fleet/runbook.js';
import type { OpenRunbook } from '../fleet/statusView.js';
import { innermost } from './runbookState.js';

const QUERY_MS = 10_000;

export interface ListedRunbook extends OpenRunbook {
  readonly runId: string;
  /** null: until its first step was taken, of one that was not started by this command line. */
  readonly fleet: string | null;
  readonly hosts: readonly string[];
  /** Temporal's word, in lower case: `running`, `completed`, `failed`, `terminated`, … */
  readonly outcome: string;
  readonly endedAt: string | null;
}

/**
 * Open ones first, the newest first among equals.
 * @param limit of the ended ones; 0 asks for none
 * @throws Unreachable
 */
export async function listRunbooks(client: Client, limit: number): Promise<ListedRunbook[]> {
  // A watch has no end and nothing to move on: `redis-fleet why` is for it.
  const types = WORKFLOW_TYPES.filter((type) => type !== 'watchServer')
    .map((type) => `"${type}"`)
    .join(', ');
  const open = await collect(client, `WorkflowType IN (${types}) AND ExecutionStatus = "Running"`, Infinity);
  const ended =
    limit === 0
      ? []
      : await collect(client, `WorkflowType IN (${types}) AND ExecutionStatus != "Running"`, limit);
  return [...byStart(open), ...byStart(ended)];
}

async function collect(client: Client, query: string, limit: number): Promise<ListedRunbook[]> {
  try {
    return await client.withDeadline(Date.now() + QUERY_MS, async () => {
      const found: ListedRunbook[] = [];
      if (limit === 0) return found;
      for await (const info of client.workflow.list({ query, pageSize: Math.min(limit, 200) })) {
        found.push(listed(info));
        if (found.length >= limit) break;
      }
      return found;
    });
  } catch (error) {
    throw new FleetError(
      'Unreachable',
      `Temporal could not list the runbooks: ${messageOf(innermost(error))}.`,
      {
        cause: error,
      },
    );
  }
}

function listed(info: WorkflowExecutionInfo): ListedRunbook {
  const { typedSearchAttributes: attributes } = info;
  const list = (name: 'RedisServer' | 'RedisDatabase' | 'RedisHost'): readonly string[] =>
    attributes.get(defineSearchAttributeKey(name, SEARCH_ATTRIBUTES[name])) ?? [];
  const word = (name: 'RedisFleet' | 'RunbookStatus'): string | null =>
    attributes.get(defineSearchAttributeKey(name, SEARCH_ATTRIBUTES[name])) ?? null;
  const isOpen = info.status.name === 'RUNNING';
  return {
    workflowId: info.workflowId,
    runId: info.runId,
    type: info.type,
    fleet: word('RedisFleet'),
    status: isOpen ? statusOf(word('RunbookStatus')) : 'done',
    outcome: info.status.name.toLowerCase(),
    servers: list('RedisServer'),
    databases: list('RedisDatabase'),
    hosts: list('RedisHost'),
    startedAt: info.startTime.toISOString(),
    endedAt: info.closeTime?.toISOString() ?? null,
  };
}

function statusOf(word: string | null): RunbookStatus | null {
  return RUNBOOK_STATUSES.find((status) => status === word) ?? null;
}

function byStart(runbooks: readonly ListedRunbook[]): ListedRunbook[] {
  return runbooks.toSorted((a, b) => (a.startedAt < b.startedAt ? 1 : a.startedAt > b.startedAt ? -1 : 0));
}
