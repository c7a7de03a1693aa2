/** Where one client's next connection goes, and when: the record decides, and what befell earlier connections. */

import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { Endpoint } from '../fleet/record.js';
import type { RecordWatch } from './recordWatch.js';
import { chooseTarget, pauseAfter, sameAddress, type Role } from './target.js';

export interface RouteOptions {
  readonly watch: RecordWatch;
  readonly role: Role;
  readonly tls: ConnectionOptions | undefined;
}

/** A connection that lasted so long was a good one. */
const GOOD_AFTER_MS = 1_000;
const LASTING_FAILURES = 2;
/** A follower that was out of reach is looked for again after so long, and then after twice as long, each time. */
const FOLLOWER_AGAIN_MS = 1_000;
const FOLLOWER_AGAIN_AT_MOST_MS = 60_000;

export class Route {
  readonly #options: RouteOptions;
  readonly #onChange: () => void;
  #unsubscribe: (() => void) | null = null;
  /** Woken when the wait for the next connection has to look again. */
  #wake: ((why: 'changed' | 'closed') => void) | null = null;
  #failures = 0;
  #followerLost = false;
  #followerLosses = 0;
  #at: Endpoint | null = null;
  #socket: Socket | null = null;
  #readyAt: number | null = null;
  #prepared: { readonly to: Endpoint; readonly socket: Socket } | null = null;
  #probe: NodeJS.Timeout | null = null;

  /** @param onChange called after every change of the target, and of the record */
  constructor(options: RouteOptions, onChange: () => void) {
    this.#options = options;
    this.#onChange = onChange;
  }

  /** Whom the record names for this client; null while nobody is known. */
  get target(): Endpoint | null {
    return chooseTarget(this.#options.watch.record, this.#options.role, () => this.#followerLost);
  }

  /** Does the present connection, or the one that is being opened, go where it should? */
  get astray(): boolean {
    const { target } = this;
    return target !== null && this.#at !== null && !sameAddress(target, this.#at);
  }

  /** Is nobody connected to, or being connected to? */
  get waiting(): boolean {
    return this.#at === null;
  }

  /** Of the present connection, or the one that is being opened. */
  get at(): Endpoint | null {
    return this.#at;
  }

  /**
   * The next connection, as soon as there is somebody to connect to and it is time to.
   * @throws Error when `stop` was called meanwhile
   */
  async open(): Promise<Socket> {
    this.#at = null;
    this.#unsubscribe ??= this.#options.watch.onChange(() => this.#recordChanged());
    for (;;) {
      const { target } = this;
      const pause = target === null ? null : pauseAfter(this.#failures);
      if (pause !== 0) {
        // A change is told within milliseconds: only what lasts is a reason to ask beside.
        if (this.#failures > LASTING_FAILURES) this.#options.watch.nudge();
        const woken = await this.#wait(pause);
        // ioredis's own words: it knows this end.
        if (woken === 'closed') throw new Error('Connection is closed.');
        if (woken === 'changed') continue;
      }
      if (target !== null) return this.#connect(target);
    }
  }

  /** Opens the connection to the present target while the old one is still in use; `open` takes it then. */
  prepare(): void {
    const { target } = this;
    if (target === null || sameAddress(target, this.#prepared?.to ?? null)) return;
    this.#prepared?.socket.destroy();
    this.#prepared = { to: target, socket: this.#dial(target) };
  }

  /** The present connection serves. */
  ready(): void {
    this.#readyAt = performance.now();
    this.#expectFollower();
  }

  /** The present connection ended. */
  lost(): void {
    const lasted = this.#readyAt === null ? 0 : performance.now() - this.#readyAt;
    // Left for a better one: that one has not failed.
    if (!this.astray) this.#failures = lasted > GOOD_AFTER_MS ? 1 : this.#failures + 1;
    if (this.#failures > 1) this.followerFailed();
    this.#readyAt = null;
    this.#at = null;
    this.#socket = null;
  }

  /** A follower that is connected to does not serve: the leader does, until the follower may be back. */
  followerFailed(): void {
    const follower = this.#options.watch.record?.follower ?? null;
    if (this.#options.role === 'leader' || !sameAddress(this.#at, follower)) return;
    this.#followerLost = true;
    this.#followerLosses++;
    this.#failures = 0;
  }

  /** Cuts the present connection, whatever hangs on it: nobody waits for the other side. */
  cut(): void {
    this.#socket?.destroy();
  }

  /** Ends the wait for the next connection. */
  stop(): void {
    this.#wake?.('closed');
    this.#prepared?.socket.destroy();
    this.#prepared = null;
  }

  /** For good. */
  close(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    if (this.#probe) clearTimeout(this.#probe);
    this.stop();
  }

  #recordChanged(): void {
    this.#failures = 0;
    this.#followerLost = false;
    this.#followerLosses = 0;
    this.#wake?.('changed');
    this.#onChange();
  }

  #connect(target: Endpoint): Socket {
    const prepared = this.#prepared;
    this.#prepared = null;
    const fits = prepared !== null && sameAddress(prepared.to, target) && !prepared.socket.destroyed;
    if (!fits) prepared?.socket.destroy();
    const socket = fits ? prepared.socket : this.#dial(target);
    this.#at = target;
    this.#socket = socket;
    return socket;
  }

  #dial({ address, port }: Endpoint): Socket {
    const { tls } = this.#options;
    const to = { host: address, port };
    const socket = tls ? connectTls({ ...tls, ...to }) : connectTcp(to);
    socket.setNoDelay(true);
    // ioredis listens as soon as it has the socket; until then nobody does.
    socket.on('error', () => undefined);
    return socket;
  }

  /** Milliseconds, or until something changes. */
  #wait(ms: number | null): Promise<'changed' | 'closed' | 'due'> {
    return new Promise((resolve) => {
      const timer = ms === null ? null : setTimeout(() => done('due'), ms);
      const done = (why: 'changed' | 'closed' | 'due'): void => {
        if (timer) clearTimeout(timer);
        this.#wake = null;
        resolve(why);
      };
      this.#wake = done;
    });
  }

  /** Served by the leader because the follower was out of reach: the follower is tried again by and by. */
  #expectFollower(): void {
    if (this.#probe) clearTimeout(this.#probe);
    this.#probe = null;
    const follower = this.#options.watch.record?.follower ?? null;
    if (!this.#followerLost || follower === null) return;
    const pause = Math.min(FOLLOWER_AGAIN_MS * 2 ** (this.#followerLosses - 1), FOLLOWER_AGAIN_AT_MOST_MS);
    this.#probe = setTimeout(() => this.#tryFollower(follower), pause);
    this.#probe.unref();
  }

  #tryFollower(follower: Endpoint): void {
    const socket = this.#dial(follower);
    socket.unref();
    socket.setTimeout(FOLLOWER_AGAIN_MS, () => socket.destroy());
    socket.once('connect', () => {
      this.#followerLost = false;
      socket.destroy();
      this.#onChange();
    });
    socket.once('close', () => {
      if (this.#followerLost) {
        this.#followerLosses++;
        this.#expectFollower();
      }
    });
  }
}
