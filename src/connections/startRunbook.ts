/** Starts a runbook: one at a time on one subject, visible by its search attributes from the first moment. */

import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { SearchAttributePair } from '@temporalio/common';
import { grpcCode } from './temporal.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import { CONTROL_QUEUE, SEARCH_ATTRIBUTES, workflowId } from '../fleet/names.js';
import type { WorkflowType } from '../fleet/names.js';
import { parseRequest } from '../fleet/requestSchemas.js';
import type { RequestByType } from '../fleet/requests.js';

/** What a runbook is about, as far as it is known when it starts. */
export interface RunbookSubject {
  readonly fleet: string;
  readonly servers?: readonly string[];
  readonly databases?: readonly string[];
  readonly hosts?: readonly string[];
}

export interface StartedRunbook {
  readonly workflowId: string;
  readonly runId: string;
  /** It ran already, with the argument that it was given then; nothing was started. */
  readonly wasRunning: boolean;
}

/**
 * @param name what the workflow's id ends in: the server or database
 * @throws InvalidRequest (a wrong argument), Unreachable
 */
export async function startRunbook<T extends WorkflowType>(
  client: Client,
  type: T,
  name: string,
  request: RequestByType[T],
  subject: RunbookSubject,
): Promise<StartedRunbook> {
  const argument = parseRequest(type, request);
  const id = workflowId(type, name);
  try {
    const handle = await client.workflow.start(type, {
      taskQueue: CONTROL_QUEUE,
      workflowId: id,
      args: [argument],
      ...(WRITES_WAIT_FOR.has(type) ? { workflowTaskTimeout: '2 seconds' } : {}),
      typedSearchAttributes: subjectAttributes(subject),
      // What Temporal's lists and pages show beside the id.
      staticSummary: `${SUMMARIES[type]} ${name}`,
    });
    return { workflowId: id, runId: handle.firstExecutionRunId, wasRunning: false };
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return await running(client, id);
    throw explained(error, id);
  }
}

/** A worker that dies in the middle of one of these must soon be replaced: it may be all that writes wait for. */
const WRITES_WAIT_FOR: ReadonlySet<WorkflowType> = new Set(['switchover', 'promoteFollower', 'moveDatabase']);

const SUMMARIES: Readonly<Record<WorkflowType, string>> = {
  provisionServer: 'Provision server',
  bringUpFollower: 'Bring up a follower of',
  switchover: 'Switch over',
  promoteFollower: 'Promote the follower of',
  moveDatabase: 'Move',
  relocateDatabases: 'Relocate databases:',
  pauseWrites: 'Pause writes of',
  watchServer: 'Watch server',
  restoreDatabase: 'Restore',
  drillBackups: 'Try out backups of',
  backupDatabase: 'Back up',
  backupSweep: 'Back up the followers on',
};

async function running(client: Client, id: string): Promise<StartedRunbook> {
  const { runId } = await client.workflow.getHandle(id).describe();
  return { workflowId: id, runId, wasRunning: true };
}

/** What a runbook is findable by from its first moment. */
export function subjectAttributes({
  fleet,
  servers,
  databases,
  hosts,
}: RunbookSubject): SearchAttributePair[] {
  const { RedisFleet, RedisServer, RedisDatabase, RedisHost, RunbookStatus } = SEARCH_ATTRIBUTES;
  const lists = [
    { key: defineSearchAttributeKey('RedisServer', RedisServer), value: [...(servers ?? [])] },
    { key: defineSearchAttributeKey('RedisDatabase', RedisDatabase), value: [...(databases ?? [])] },
    { key: defineSearchAttributeKey('RedisHost', RedisHost), value: [...(hosts ?? [])] },
  ];
  return [
    { key: defineSearchAttributeKey('RedisFleet', RedisFleet), value: fleet },
    { key: defineSearchAttributeKey('RunbookStatus', RunbookStatus), value: 'running' },
    ...lists.filter(({ value }) => value.length > 0),
  ];
}

const INVALID_ARGUMENT = 3;

function explained(error: unknown, id: string): unknown {
  if (error instanceof FleetError) return error;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = grpcCode(error);
  if (code === INVALID_ARGUMENT && /search attribute/i.test(messageOf(cause))) {
    const names = Object.entries(SEARCH_ATTRIBUTES).map(
      ([name, type]) => `--name ${name} --type ${typeName(type)}`,
    );
    return new FleetError(
      'NotFound',
      `Temporal does not know the search attributes of redis-fleet, so ${id} was not started. A control worker makes ` +
        `them when it starts; or run: temporal operator search-attribute create ${names.join(' ')}`,
      { cause: error },
    );
  }
  return new FleetError('Unreachable', `${id} could not be started: ${messageOf(cause)}`, { cause: error });
}

function typeName(type: 'KEYWORD' | 'KEYWORD_LIST'): string {
  return type === 'KEYWORD' ? 'Keyword' : 'KeywordList';
}
