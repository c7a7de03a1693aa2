/** A plan as people read it. */

import { effectOf } from './planChange.js';
import type { Effect, Plan, PlanChange } from './planChange.js';
import { count } from './placement.js';
import { showSize } from './quantities.js';
import { showEndpoint } from './record.js';

const MARKS: Readonly<Record<Effect, string>> = { apply: '+', inform: 'i', refuse: '!' };

/** Lines without colour: one a change, the warnings, and a summary last. */
export function planText(plan: Plan): string {
  const rows = plan.changes.map((change) => ({ effect: effectOf(change), ...describe(change) }));
  const width = Math.max(0, ...rows.map(({ subject }) => subject.length));
  const lines = rows.map(
    ({ effect, subject, text }) => `  ${MARKS[effect]} ${subject.padEnd(width)}  ${text}`,
  );
  const warnings = plan.warnings.map((warning) => `  warning: ${warning}`);
  const blocks = [lines, warnings].filter((block) => block.length > 0).map((block) => block.join('\n'));
  return [...blocks, planSummary(plan)].join('\n\n');
}

/** One sentence. */
export function planSummary(plan: Plan): string {
  const numberOf = (effect: Effect): number =>
    plan.changes.filter((change) => effectOf(change) === effect).length;
  const [apply, refuse, inform] = [numberOf('apply'), numberOf('refuse'), numberOf('inform')];
  const databases = plan.changes.reduce(
    (sum, change) => sum + (change.kind === 'provision server' ? change.databases.length : 0),
    0,
  );
  const notes =
    inform === 0 ? '' : ` ${count(inform, 'line')} marked i ${inform === 1 ? 'is' : 'are'} for you to read.`;
  if (refuse > 0) {
    return `Refused: ${count(refuse, 'change')} marked ! must be resolved first; apply would do nothing at all.${notes}`;
  }
  if (apply === 0) return `Nothing to do: fleet ${plan.fleet} is as its file describes it.${notes}`;
  const provisioned = databases === 0 ? '' : `, ${count(databases, 'database')} to provision`;
  return `${count(apply, 'change')} to apply to fleet ${plan.fleet}${provisioned}.${notes}`;
}

/** What a change is about, and a sentence about it. */
export function describe(change: PlanChange): { readonly subject: string; readonly text: string } {
  switch (change.kind) {
    case 'provision server':
      return { subject: `server ${change.server}`, text: provisionText(change) };
    case 'adopt database':
      return {
        subject: `database ${change.database}`,
        text: `is new in the file and has a leader already, ${showEndpoint(change.leader)}; nothing is started`,
      };
    case 'change setting':
      return { subject: change.setting, text: `${change.from} → ${change.to}` };
    case 'change host':
      return {
        subject: `host ${change.host}`,
        text: `${change.field} ${size(change.from)} → ${size(change.to)}; no process is touched`,
      };
    case 'change host address':
      return {
        subject: `host ${change.host}`,
        text: withUse(`address ${change.from} → ${change.to}`, change.usedBy),
      };
    case 'remove host':
      return {
        subject: `host ${change.host}`,
        text: withUse(`leaves server ${change.server}`, change.usedBy),
      };
    case 'change maxmemory':
      return {
        subject: `database ${change.database}`,
        text:
          `maxmemory ${showSize(change.from)} → ${showSize(change.to)}; running processes keep what they have ` +
          `until they are started anew`,
      };
    case 'store details':
      return {
        subject: 'fleet',
        text: 'order or other details changed; stored, and nothing is started or stopped',
      };
    case 'conflict':
      return { subject: 'conflict', text: `${change.problem}; change its port or server in the file` };
    case 'database elsewhere':
      return { subject: `database ${change.database}`, text: elsewhereText(change) };
    case 'remove database':
      return {
        subject: `database ${change.database}`,
        text: `is not in the file; it keeps running on ${showEndpoint(change.leader)}: apply never stops or deletes one`,
      };
    case 'no follower':
      return {
        subject: `database ${change.database}`,
        text:
          change.down === null
            ? `has no follower; run: redis-fleet bring-up ${change.database}`
            : `its follower on ${showEndpoint(change.down)} is down; run: redis-fleet bring-up ${change.database}`,
      };
    case 'unreadable record':
      return { subject: `database ${change.database}`, text: `is left alone: ${change.problem}` };
    case 'silent host':
      return { subject: `host ${change.host}`, text: silentText(change) };
  }
}

type Of<K extends PlanChange['kind']> = Extract<PlanChange, { kind: K }>;

function provisionText(change: Of<'provision server'>): string {
  const { databases, isNew, leaderHost, followerHost, runbook } = change;
  if (databases.length === 0) return 'new, without a database to provision';
  const at = `leaders on ${leaderHost}, followers on ${followerHost}`;
  const going = runbook === null ? '' : `; ${runbook} is at it`;
  return `${isNew ? 'new: ' : ''}provision ${databases.join(', ')} (${at})${going}`;
}

function withUse(text: string, usedBy: readonly string[]): string {
  return usedBy.length === 0
    ? text
    : `${text}: refused, ${shortList(usedBy)} still there by the record; move first`;
}

function elsewhereText({ file, record }: Of<'database elsewhere'>): string {
  const follower = record.follower === null ? '' : `, follower ${showEndpoint(record.follower)}`;
  return (
    `the file has it on ${file.server} with port ${String(file.port)}, the record on ${showEndpoint(record.leader)}` +
    `${follower}; the record counts, and apply never moves one`
  );
}

function silentText({ host, lastReport }: Of<'silent host'>): string {
  const since =
    lastReport === null ? 'its agent has never reported' : `its agent has not reported since ${lastReport}`;
  return `${since}: provisioning waits for it; start there: redis-fleet agent --host ${host}`;
}

function shortList(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  const more = names.length > 5 ? ` and ${String(names.length - 5)} more` : '';
  return `${shown}${more} ${names.length === 1 ? 'is' : 'are'}`;
}

function size(value: string | number): string {
  return typeof value === 'number' ? showSize(value) : value;
}
