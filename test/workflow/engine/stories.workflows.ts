/** Small procedures on the engine, one for each story of its tests. */

import { ApplicationFailure, proxyActivities, sleep } from '@temporalio/workflow';
import type { RunbookResult } from '../../../src/fleet/runbook.js';
import { control, local, onHost } from '../../../src/workflows/engine/activityOptions.js';
import { followed } from '../../../src/workflows/engine/inFlight.js';
import { runRunbook } from '../../../src/workflows/engine/runbook.js';
import type { Ledger } from './ledger.js';

/** One attempt, so that a failure is final at once. */
const once = followed(
  proxyActivities<Ledger>({
    startToCloseTimeout: '20 seconds',
    heartbeatTimeout: '2 seconds',
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    retry: { maximumAttempts: 1 },
  }),
  {
    host: null,
    queue: 'engine',
    scheduleToStartMs: null,
    scheduleToCloseMs: 20_000,
    startToCloseMs: 20_000,
    heartbeatMs: 2000,
  },
);

export interface StoryInput {
  readonly approved?: Record<string, { by: string; reason: string }>;
  readonly database?: string;
}

/** Two steps that change something, then one that needs what the test says. */
async function threeSteps(input: StoryInput, skippable: boolean): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Move the furniture' }, async (runbook) => {
    runbook.outline([
      { name: 'first', does: 'Lifts the table.' },
      { name: 'second', does: 'Lifts the chairs.' },
      { name: 'third', does: 'Carries all out.' },
    ]);
    runbook.subject({
      fleet: 'test',
      databases: [input.database ?? 'sessions-00'],
      ...(input.approved === undefined ? {} : { approved: input.approved }),
    });
    for (const name of ['first', 'second']) {
      await runbook.step({
        name,
        does: `Does the ${name}.`,
        run: () => once.act(name),
        undo: { does: `Undoes the ${name}.`, run: () => once.act(`undo ${name}`) },
      });
    }
    return runbook.step({
      name: 'third',
      does: 'Carries all out.',
      run: async () => {
        await once.act('third');
        return 'carried';
      },
      undo: { does: 'Carries all back.', run: () => once.act('undo third') },
      ...(skippable ? { skip: { means: 'The furniture stays.', value: 'stayed' } } : {}),
    });
  });
}

export async function skippable(input: StoryInput): Promise<RunbookResult<string>> {
  return threeSteps(input, true);
}

export async function unskippable(input: StoryInput): Promise<RunbookResult<string>> {
  return threeSteps(input, false);
}

export async function dangerous(input: StoryInput): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Light the fire' }, async (runbook) => {
    runbook.subject({ fleet: 'test', ...(input.approved === undefined ? {} : { approved: input.approved }) });
    await runbook.step({
      name: 'stack wood',
      does: 'Stacks wood.',
      run: () => once.act('stack wood'),
      undo: { does: 'Takes it away.', run: () => once.act('undo stack wood') },
    });
    return runbook.step({
      name: 'light',
      does: 'Lights it.',
      approval: { danger: 'It burns | and "cannot" be\nundone.' },
      run: async () => {
        await once.act('light');
        return 'burning';
      },
    });
  });
}

/** A step of parallel activities, of which one fails while another takes long. */
export async function parallel(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Do two things at once' }, (runbook) =>
    runbook.step({
      name: 'both',
      does: 'Does both.',
      run: async () => {
        await Promise.all([once.takeLong('slow one'), once.act('quick one')]);
        return 'both done';
      },
    }),
  );
}

export async function longStep(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Take long' }, async (runbook) => {
    await runbook.step({
      name: 'short',
      does: 'Is quick.',
      run: () => once.act('short'),
      undo: { does: 'Takes it back.', run: () => once.act('undo short') },
    });
    await runbook.step({
      name: 'long',
      does: 'Takes long.',
      run: () => once.takeLong('long'),
      undo: { does: 'Takes back what was done of it.', run: () => once.act('undo long') },
    });
    return 'long over';
  });
}

/** Waits between two steps, where no step could notice an abort. */
export async function pausesBetween(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Pause between' }, async (runbook) => {
    await runbook.step({
      name: 'before',
      does: 'Comes before.',
      run: () => once.act('before'),
      undo: { does: 'Undoes it.', run: () => once.act('undo before') },
    });
    await sleep('1 hour');
    return 'rested';
  });
}

export async function needsHost(input: { host: string; within?: number }): Promise<RunbookResult<number>> {
  return runRunbook({ title: 'Ask a host' }, async (runbook) => {
    const { total } = await runbook.step({
      name: 'ask',
      does: 'Asks for its memory.',
      run: () =>
        onHost(
          input.host,
          'memory',
          input.within === undefined ? {} : { scheduleToStartTimeout: input.within },
        ).hostMemory(),
    });
    return total;
  });
}

/** Loses the database at its second guarded step. */
export async function guarded(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Guard the house' }, async (runbook) => {
    await runbook.step({
      name: 'permit',
      does: 'Takes the permit.',
      run: () => once.act('permit'),
      undo: { does: 'Gives it back.', always: true, run: () => once.act('undo permit') },
    });
    runbook.guard(() => once.act('guard'));
    await runbook.step({
      name: 'change',
      does: 'Changes the database.',
      run: () => once.act('change'),
      undo: { does: 'Changes it back.', run: () => once.act('undo change') },
    });
    await runbook.step({ name: 'never', does: 'Is never reached.', run: () => once.act('never') });
    return 'guarded';
  });
}

/** What a step settles is kept, but for what must be given back in any case. */
export async function settled(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Settle' }, async (runbook) => {
    await runbook.step({
      name: 'claim',
      does: 'Claims.',
      run: () => once.act('claim'),
      undo: { does: 'Releases.', always: true, run: () => once.act('undo claim') },
    });
    await runbook.step({
      name: 'build',
      does: 'Builds.',
      run: () => once.act('build'),
      undo: { does: 'Tears down.', run: () => once.act('undo build') },
    });
    await runbook.step({
      name: 'publish',
      does: 'Publishes.',
      settles: true,
      run: () => once.act('publish'),
    });
    await runbook.step({ name: 'tidy', does: 'Tidies up.', run: () => once.act('tidy') });
    return 'settled';
  });
}

export async function preflight(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Look first' }, async (runbook) => {
    await runbook.step({ name: 'look', does: 'Looks.', preflight: true, run: () => once.act('look') });
    return 'looked';
  });
}

/** A fault of the procedure's own code, outside its steps. */
export async function faulty(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Trip over' }, async (runbook) => {
    await runbook.step({
      name: 'walk',
      does: 'Walks.',
      run: () => once.act('walk'),
      undo: { does: 'Walks back.', run: () => once.act('undo walk') },
    });
    throw new TypeError('the stair is not a function');
  });
}

/** A fault of the procedure's own code inside a step. */
export async function faultyStep(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Trip in a step' }, (runbook) =>
    runbook.step({
      name: 'walk',
      does: 'Walks.',
      skip: { means: 'Stays where it is.', value: 'stayed' },
      run: () => {
        throw new TypeError('the stair is not a function');
      },
    }),
  );
}

export async function sameNameTwice(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Stammer' }, async (runbook) => {
    await runbook.step({ name: 'walk', does: 'Walks.', run: () => once.act('walk') });
    await runbook.step({ name: 'walk', does: 'Walks.', run: () => once.act('walk') });
    return 'unreachable';
  });
}

export async function refusesItself(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Refuse' }, () =>
    Promise.reject(ApplicationFailure.nonRetryable('There is no room.', 'NoHeadroom')),
  );
}

/** Confirms ownership with the bounds that every procedure has. */
export async function usualBounds(input: { where: 'queue' | 'local' }): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Ask Consul' }, async (runbook) => {
    await runbook.step({
      name: 'confirm',
      does: 'Confirms ownership.',
      run: () =>
        (input.where === 'queue' ? control('confirm') : local('confirm')).confirmOwnership({ databases: [] }),
    });
    return 'confirmed';
  });
}

/** An activity that says nothing for longer than it may. */
export async function silence(): Promise<RunbookResult<string>> {
  return runRunbook({ title: 'Listen' }, async (runbook) => {
    await runbook.step({
      name: 'listen',
      does: 'Listens.',
      run: () =>
        control('listen', { heartbeatTimeout: 400, retry: { maximumAttempts: 1 } }).confirmOwnership({
          databases: [],
        }),
    });
    return 'heard';
  });
}
