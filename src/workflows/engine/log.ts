/** What a runbook knows of itself, and how it shows it: current details, the `runbook` query, search attributes. */

import {
  defineSearchAttributeKey,
  type SearchAttributePair,
  type SearchAttributeUpdatePair,
} from '@temporalio/common';
import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { Decision, RunbookState, RunbookStatus, StepProgress, StepRecord } from '../../fleet/runbook.js';
import { runbookDetails } from '../../fleet/runbookDetails.js';
import { nextMove } from '../../fleet/runbookMoves.js';
import { cut } from '../../fleet/runbookText.js';
import { SEARCH_ATTRIBUTES } from '../../fleet/names.js';

const LONGEST_NOTE = 600;
/** Signals that make no sense may come in floods; the state must stay small. */
const MOST_REFUSED = 50;
const ENDED: ReadonlySet<StepProgress['state']> = new Set(['done', 'skipped', 'stopped']);

export interface Subject {
  readonly fleet: string;
  readonly servers?: readonly string[];
  readonly databases?: readonly string[];
  readonly hosts?: readonly string[];
}

const FLEET = defineSearchAttributeKey('RedisFleet', SEARCH_ATTRIBUTES.RedisFleet);
const SERVERS = defineSearchAttributeKey('RedisServer', SEARCH_ATTRIBUTES.RedisServer);
const DATABASES = defineSearchAttributeKey('RedisDatabase', SEARCH_ATTRIBUTES.RedisDatabase);
const HOSTS = defineSearchAttributeKey('RedisHost', SEARCH_ATTRIBUTES.RedisHost);
const STATUS = defineSearchAttributeKey('RunbookStatus', SEARCH_ATTRIBUTES.RunbookStatus);

export class RunbookLog {
  private readonly steps: StepRecord[] = [];
  private readonly notes: string[] = [];
  private presentLines: readonly string[] = [];
  private readonly decisions: Decision[] = [];
  private currentStatus: RunbookStatus = 'running';
  private shown = '';

  constructor(private readonly title: string) {
    this.show();
  }

  get status(): RunbookStatus {
    return this.currentStatus;
  }

  /** A search attribute costs an action per change, so it is written only when it really changes. */
  become(status: RunbookStatus): void {
    this.currentStatus = status;
    if (workflowInfo().typedSearchAttributes.get(STATUS) !== status) {
      upsertSearchAttributes([{ key: STATUS, value: status }]);
    }
    this.show();
  }

  /** Makes a runbook findable; what was set at its start costs nothing. */
  subject(subject: Subject): void {
    const known = workflowInfo().typedSearchAttributes;
    const changed: SearchAttributeUpdatePair[] = [];
    if (known.get(FLEET) !== subject.fleet) changed.push({ key: FLEET, value: subject.fleet });
    changed.push(...listsOf(subject).filter(({ key, value }) => known.get(key)?.join() !== value.join()));
    if (known.get(STATUS) !== this.currentStatus) changed.push({ key: STATUS, value: this.currentStatus });
    if (changed.length > 0) upsertSearchAttributes(changed);
  }

  /** Replaces the steps that were announced and not begun. */
  outline(steps: readonly { readonly name: string; readonly does: string }[]): void {
    this.forgetPending();
    for (const step of steps) {
      if (!this.steps.some(({ name }) => name === step.name)) this.steps.push(pending(step));
    }
    this.show();
  }

  /** Steps that were announced and turned out not to be needed. */
  forgetPending(): void {
    this.steps.splice(
      0,
      this.steps.length,
      ...this.steps.filter(({ progress }) => progress.state !== 'pending'),
    );
  }

  /** @returns whether the step is new; a name that has begun already cannot be used again */
  begin(step: { readonly name: string; readonly does: string }): boolean {
    const index = this.steps.findIndex(({ name }) => name === step.name);
    if (index >= 0) return this.steps[index]?.progress.state === 'pending';
    const firstPending = this.steps.findIndex(({ progress }) => progress.state === 'pending');
    this.steps.splice(firstPending < 0 ? this.steps.length : firstPending, 0, pending(step));
    return true;
  }

  progressOf(name: string): StepProgress {
    return this.steps.find((step) => step.name === name)?.progress ?? { state: 'pending' };
  }

  progress(name: string, progress: StepProgress): void {
    const index = this.steps.findIndex((step) => step.name === name);
    const step = this.steps[index];
    if (step === undefined) return;
    const since = now();
    const startedAt = step.startedAt ?? (progress.state === 'running' ? since : null);
    const ends = ENDED.has(progress.state) && step.seconds === null && startedAt !== null;
    const seconds = ends ? (Date.parse(since) - Date.parse(startedAt)) / 1000 : step.seconds;
    this.steps[index] = { ...step, progress, since, startedAt, seconds };
    this.show();
  }

  note(sentence: string): void {
    this.notes.push(cut(sentence, LONGEST_NOTE));
    this.show();
  }

  present(sentences: readonly string[]): void {
    this.presentLines = sentences.map((sentence) => cut(sentence, LONGEST_NOTE));
    this.show();
  }

  record(decision: Decision): void {
    const refused = this.decisions.filter((other) => other.refused !== undefined).length;
    if (decision.refused !== undefined && refused >= MOST_REFUSED) return;
    this.decisions.push(decision);
    this.show();
  }

  snapshot(): RunbookState {
    const { workflowType, workflowId, runId, startTime } = workflowInfo();
    const steps = [...this.steps];
    const status = this.currentStatus;
    return {
      type: workflowType,
      workflowId,
      runId,
      title: this.title,
      status,
      startedAt: startTime.toISOString(),
      steps,
      notes: [...this.notes],
      ...(this.presentLines.length === 0 ? {} : { present: this.presentLines }),
      decisions: [...this.decisions],
      next: nextMove({ status, steps }),
    };
  }

  private show(): void {
    const details = runbookDetails(this.snapshot(), workflowInfo().namespace);
    if (details === this.shown) return;
    this.shown = details;
    setCurrentDetails(details);
  }
}

/** Of a runbook that another one starts: it is found by them from its first moment. */
export function attributesOf(subject: Subject): SearchAttributePair[] {
  return [{ key: FLEET, value: subject.fleet }, { key: STATUS, value: 'running' }, ...listsOf(subject)];
}

/** Those that name somebody, each name once. */
function listsOf({ servers, databases, hosts }: Subject) {
  const lists = [
    { key: SERVERS, value: [...new Set(servers)] },
    { key: DATABASES, value: [...new Set(databases)] },
    { key: HOSTS, value: [...new Set(hosts)] },
  ];
  return lists.filter(({ value }) => value.length > 0);
}

/** Workflow time: the same at every replay. ISO 8601. */
export function now(): string {
  return new Date().toISOString();
}

function pending({ name, does }: { readonly name: string; readonly does: string }): StepRecord {
  return { name, does, progress: { state: 'pending' }, since: null, startedAt: null, seconds: null };
}
