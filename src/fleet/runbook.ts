/** What a runbook shows of itself: the answer of the `runbook` query, and a part of its result. Pure data. */

export const RUNBOOK_STATUSES = ['running', 'waiting', 'stuck', 'aborting', 'done'] as const;
/** The search attribute `RunbookStatus`. */
export type RunbookStatus = (typeof RUNBOOK_STATUSES)[number];

export const CONTROL_MESSAGES = ['approve', 'retry', 'skip', 'abort'] as const;
export type ControlMessage = (typeof CONTROL_MESSAGES)[number];

/** The argument of every control message. */
export interface ControlArgument {
  readonly by: string;
  readonly reason: string;
}

/** Who said what, when and why, and whether it made sense then. */
export interface Decision extends ControlArgument {
  readonly message: ControlMessage;
  /** The step it was about; null for an abort between steps. */
  readonly step: string | null;
  readonly at: string;
  /** Of a signal that made no sense at that time: what would have. Updates are refused by their validator instead. */
  readonly refused?: string;
}

/** Step name → who approved it before the runbook started. There is no general `force`. */
export type Approvals = Readonly<Record<string, ControlArgument>>;

export type StepProgress =
  | { readonly state: 'pending' }
  | { readonly state: 'running'; readonly attempt: number }
  | {
      readonly state: 'waiting for approval';
      readonly danger: string;
      /** What skipping it would mean; null: it cannot be skipped. */
      readonly skip: string | null;
    }
  | {
      readonly state: 'stuck';
      readonly attempt: number;
      readonly problem: string;
      readonly kind: string | null;
      /** What skipping it would mean; null: it cannot be skipped. */
      readonly skip: string | null;
    }
  | { readonly state: 'done' }
  | { readonly state: 'skipped'; readonly by: string; readonly reason: string }
  | { readonly state: 'stopped'; readonly why: string }
  | { readonly state: 'undoing' }
  | { readonly state: 'undo stuck'; readonly problem: string }
  | { readonly state: 'undone' }
  | { readonly state: 'not undone'; readonly why: string };

export interface StepRecord {
  readonly name: string;
  /** One sentence: what it does. */
  readonly does: string;
  readonly progress: StepProgress;
  /** When it came into this state; null while pending. ISO 8601. */
  readonly since: string | null;
  readonly startedAt: string | null;
  readonly seconds: number | null;
}

/** What would move a waiting runbook on. */
export interface NextMove {
  readonly waitsFor: string;
  readonly messages: readonly ControlMessage[];
}

export interface RunbookState {
  readonly type: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly title: string;
  readonly status: RunbookStatus;
  readonly startedAt: string;
  readonly steps: readonly StepRecord[];
  /** Sentences worth keeping: which way was chosen and why, what was measured. */
  readonly notes: readonly string[];
  /** How things are just now, where that changes while it runs. */
  readonly present?: readonly string[];
  readonly decisions: readonly Decision[];
  readonly next: NextMove | null;
}

/** What a finished runbook returns; a failed one carries `runbook` in its failure's details. */
export interface RunbookResult<T> {
  readonly result: T;
  readonly runbook: RunbookState;
}
