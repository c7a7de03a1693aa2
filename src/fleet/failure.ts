/** Whether a leader has failed: what several observers saw, and what may be believed of it. Pure. */

import type { Pulse } from './lease.js';

/** What the control plane sees of a process over the network. */
export type Sighting =
  /** Answers as a leader, and has its data. */
  | { readonly seen: 'leading' }
  /** Answers, but does not lead: it was reborn (following nobody), or demoted. It takes no writes. */
  | { readonly seen: 'not leading'; readonly loading: boolean }
  /** Leads, but is another process than before; or refuses a password that it took before. */
  | { readonly seen: 'reborn' }
  | { readonly seen: 'loading' }
  /** Its host refuses the connection: there is no such process. */
  | { readonly seen: 'refused' }
  /** Milliseconds since its last answer, or since the first question. */
  | { readonly seen: 'silent'; readonly forMs: number };

export type LeaseSighting =
  /** Renewed within its time to live. `pulse`: what its agent says of the leader's process; null: nothing. */
  | { readonly state: 'held'; readonly pulse: Pulse | null }
  /** Waited out, and broken: its agent lets no leader serve. */
  | { readonly state: 'ran out' }
  /** Not renewed in time, but not waited out yet. */
  | { readonly state: 'running out'; readonly leftMs: number }
  /**
   * Its agent was gone already while the leader still answered, or it left: nobody can say whether it would fence.
   * Also of a lease that nobody can read, as Consul is away.
   */
  | { readonly state: 'nobody' };

export interface LeaderSightings {
  readonly database: string;
  readonly control: Sighting;
  /** The leader's host. */
  readonly lease: LeaseSighting;
  /** From the follower's host, by its agent; null: it says nothing. */
  readonly fromFollowerHost: Pulse | null;
  /** The follower's own replication link; null: the follower does not answer, or there is none. */
  readonly followerLink: { readonly up: boolean; readonly silentForMs: number } | null;
  readonly downAfterMs: number;
  /** Workflow id of a planned runbook that owns the database: it may have demoted the leader on purpose. */
  readonly atWork?: string;
}

/** What must be done before somebody else may lead. */
export type FenceNeeded =
  /** The process is gone, or its agent fenced it: there is nobody to fence. */
  | 'none'
  /** Its agent lives: it fences. */
  | 'agent'
  /** It answers over the network, and its agent does not. */
  | 'network'
  /** Its host is out of reach: its lease must run out. */
  | 'lease'
  /** Nobody can: an engineer must say that it may be done. */
  | 'impossible';

export type LeaderVerdict =
  | { readonly state: 'well'; readonly why: string }
  /** Somebody misses it, and that is not enough (yet). */
  | { readonly state: 'doubted'; readonly why: string }
  | { readonly state: 'failed'; readonly why: string; readonly fence: FenceNeeded };

/** What one of the three observers says; null: nothing that counts. */
type Word = { readonly says: 'well' | 'failed'; readonly text: string } | null;

const LINK_DOWN = "the follower's replication link to it is down";

/**
 * Two observers out of three miss it, and none sees it: the control plane, the agent of its own host, and the
 * follower's side (its replication link, and the agent of its host). A lease that ran out is no observer: it only ends
 * what its agent said last.
 */
export function judgeLeader(sightings: LeaderSightings): LeaderVerdict {
  const { control, atWork } = sightings;
  const words = [controlWord(sightings), agentWord(sightings), followerWord(sightings)];
  const missing = words.flatMap((word) => (word?.says === 'failed' ? [word.text] : []));
  const seeing = words.flatMap((word) => (word?.says === 'well' ? [word.text] : []));
  const doubted = (but: string): LeaderVerdict => ({
    state: 'doubted',
    why: `${list(missing.length > 0 ? missing : [unsure(sightings)])}; but ${but}.`,
  });

  if (control.seen === 'leading' && missing.length === 0) {
    return {
      state: 'well',
      why: `It answers as the leader${withoutLink(sightings)}${withoutAgent(sightings)}.`,
    };
  }
  if (control.seen === 'not leading' && atWork !== undefined) return doubted(`${atWork} is at work there`);
  if (certainlyGone(sightings) || (missing.length >= 2 && seeing.length === 0)) {
    // Of one that is certainly gone the agent beside the follower may not have heard yet; the link has.
    const seen = missing.length > 1 ? missing : [...missing, LINK_DOWN];
    return { state: 'failed', why: `${capital(list(seen))}.`, fence: fenceFor(sightings) };
  }
  if (seeing.length > 0) return sentenced(doubted(list(seeing)));
  const alone = missing.length === 1 ? 'nobody else says so' : 'nobody has missed it for long enough';
  return sentenced(doubted(alone));
}

/** Its own agent says that the process is gone, and so does the network: what the follower's side said is older. */
function certainlyGone({ control, lease, followerLink }: LeaderSightings): boolean {
  if (lease.state !== 'held' || lease.pulse !== 'gone') return false;
  if (control.seen === 'refused') return true;
  return followerLink?.up === false && control.seen === 'silent';
}

function controlWord({ control, downAfterMs }: LeaderSightings): Word {
  switch (control.seen) {
    case 'leading':
      return { says: 'well', text: 'it answers as the leader' };
    case 'not leading':
      return {
        says: 'failed',
        text: control.loading
          ? 'its process was started anew, does not lead, and still loads'
          : 'its process answers, but does not lead',
      };
    case 'reborn':
      return {
        says: 'failed',
        text: 'what answers in its place is another process, or refuses our password',
      };
    case 'loading':
      return { says: 'failed', text: 'its process is loading its data, and takes no writes' };
    case 'refused':
      return { says: 'failed', text: 'its host refuses the connection' };
    case 'silent':
      return control.forMs < downAfterMs
        ? null
        : { says: 'failed', text: 'the control plane gets no answer from it' };
  }
}

function agentWord({ control, lease }: LeaderSightings): Word {
  if (lease.state !== 'held' || lease.pulse === null) return null;
  switch (lease.pulse) {
    case 'up':
      // That it lives is not that it leads, or that it still is the same.
      return control.seen === 'not leading' || control.seen === 'reborn'
        ? null
        : { says: 'well', text: 'the agent of its host says that it is up' };
    case 'gone':
      return { says: 'failed', text: 'the agent of its host says that the process is gone' };
    case 'silent':
      return { says: 'failed', text: 'the agent of its host gets no answer from it' };
    case 'loading':
      return { says: 'failed', text: 'the agent of its host sees it loading' };
  }
}

/** The follower and the agent beside it share one network: they are one observer. */
function followerWord({ control, fromFollowerHost, followerLink, downAfterMs }: LeaderSightings): Word {
  // A process that ends takes its links with it; one that hangs, or is cut off, leaves them up and quiet.
  const mayBeStale = control.seen === 'silent' || control.seen === 'leading';
  if (followerLink?.up === true && (followerLink.silentForMs < downAfterMs || !mayBeStale)) {
    return { says: 'well', text: "the follower's replication link to it is up" };
  }
  const processMatters = control.seen !== 'not leading' && control.seen !== 'reborn';
  if (fromFollowerHost === 'up' && processMatters) {
    return { says: 'well', text: "the agent of the follower's host reaches it" };
  }
  if (followerLink?.up === false) {
    return { says: 'failed', text: LINK_DOWN };
  }
  switch (fromFollowerHost) {
    case 'gone':
    case 'silent':
      return { says: 'failed', text: "the agent of the follower's host gets no answer from it" };
    case 'loading':
      return { says: 'failed', text: "the agent of the follower's host sees it loading" };
    case 'up':
    case null:
      return null;
  }
}

function fenceFor({ control, lease }: LeaderSightings): FenceNeeded {
  // Following nobody, it takes no writes.
  if (control.seen === 'not leading') return 'none';
  if (lease.state === 'held') return lease.pulse === 'gone' && control.seen !== 'reborn' ? 'none' : 'agent';
  if (control.seen !== 'silent') return 'network';
  switch (lease.state) {
    case 'ran out':
      return 'none';
    case 'running out':
      return 'lease';
    case 'nobody':
      return 'impossible';
  }
}

function unsure({ control }: LeaderSightings): string {
  if (control.seen === 'silent') return `it has not answered for ${String(Math.round(control.forMs))} ms`;
  return 'it is not known how it is';
}

function withoutLink({ followerLink }: LeaderSightings): string {
  return followerLink?.up === false ? "; its follower's replication link to it is down" : '';
}

function withoutAgent({ lease }: LeaderSightings): string {
  switch (lease.state) {
    case 'held':
      return '';
    case 'running out':
      return '; the agent of its host is late with its lease';
    case 'ran out':
      return '; the lease of its host was broken';
    case 'nobody':
      return '; the agent of its host does not hold its lease: were it cut off, nobody could fence it';
  }
}

function sentenced(verdict: LeaderVerdict): LeaderVerdict {
  return { ...verdict, why: capital(verdict.why) };
}

function list(words: readonly string[]): string {
  return words.length <= 1 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
