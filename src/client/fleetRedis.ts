/**
 * An ioredis client that is always on its way to the leader. Its own part is what ioredis leaves open: which commands
 * wait while there is nobody to take them, which are sent again, and which fail because nobody can know.
 */

import { Command, Redis, type RedisOptions } from 'ioredis';
import { showEndpoint } from '../fleet/record.js';
import { connectorFor } from './connector.js';
import { Drain } from './drain.js';
import { TransactionLost } from './errors.js';
import { Fates, SUBSCRIPTIONS } from './fates.js';
import type { ClientLog, RecordWatch } from './recordWatch.js';
import { isDiscarded, refusalOf } from './refusals.js';
import { Route } from './route.js';
import { graceFor, pauseAfter, type Role } from './target.js';
import { Transactions, type Transaction } from './transactions.js';
import { WaitingRoom } from './waitingRoom.js';

export interface FleetRedisSettings {
  readonly database: string;
  readonly role: Role;
  readonly onInterrupted: 'fail' | 'retry';
  readonly maxWaitMs: number;
  readonly graceMs: number;
  readonly watch: RecordWatch;
  readonly log: ClientLog;
  /** Told of every client that is made, `duplicate` included. */
  readonly onOpen: (client: FleetRedis) => void;
}

/** Replies have ioredis's usual shape: its types say so. */
export type FleetRedisOptions = Omit<RedisOptions, 'replyMapping'>;

type Stream = Parameters<Redis['sendCommand']>[1];
type Item = Parameters<Redis['handleReconnection']>[1];

const CLOSED = 'Connection is closed.';
/** Refusals further apart than this have nothing to do with each other. */
const CALM_MS = 1_000;
export class FleetRedis extends Redis {
  readonly #settings: FleetRedisSettings;
  readonly #options: FleetRedisOptions;
  readonly #route: Route;
  readonly #room: WaitingRoom;
  readonly #transactions = new Transactions();
  readonly #fates: Fates;
  /** Sent by ioredis and by us, on nobody's behalf. */
  readonly #own = new WeakSet<Command>();
  /** Counts the connections that became ready. */
  #connection = 0;
  /** The connection is ready, and was not lost since. */
  #connected = false;
  /** Commands are sent as they come. Otherwise they wait. */
  #open = false;
  #moving = false;
  #closing = false;
  readonly #drain = new Drain();
  #retry: NodeJS.Timeout | null = null;
  #refusals = 0;
  #refusedAt = Number.NEGATIVE_INFINITY;

  constructor(settings: FleetRedisSettings, options: FleetRedisOptions) {
    const link: { client: FleetRedis | null } = { client: null };
    const { role, watch } = settings;
    const route = new Route({ watch, role, tls: options.tls }, () => link.client?.reconsider());
    super({
      // One AUTH and nothing else: the handshake is part of every outage.
      protocol: 2,
      disableClientInfo: true,
      connectTimeout: 2_000,
      ...options,
      enableReadyCheck: false,
      lazyConnect: true,
      // Who waits, and for how long, is decided here.
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      autoResendUnfulfilledCommands: false,
      // How long to wait is the route's decision: a change of the record ends its pauses.
      retryStrategy: () => 0,
      Connector: connectorFor(route, () => link.client?.lost()),
    });
    link.client = this;
    this.#settings = settings;
    this.#options = options;
    this.#route = route;
    this.#fates = new Fates({ ...settings, transactions: this.#transactions });
    this.#room = new WaitingRoom(settings.maxWaitMs, (waiting) => this.#fates.expired(waiting));
    this.on('ready', () => this.#becameReady());
    this.on('end', () => this.#ended());
    // Attempts that fail are routine here; without a listener ioredis prints them.
    this.on('error', (error) => settings.log.warn(`${settings.database}: ${error.message}`));
    settings.onOpen(this);
    if (!options.lazyConnect) this.connect().catch(() => undefined);
  }

  /** Where it is connected, or being connected to; null while it waits for somebody. For logs and tests. */
  get connectedTo(): { readonly host: string; readonly address: string; readonly port: number } | null {
    return this.#route.at;
  }

  override async connect(callback?: Parameters<Redis['connect']>[0]): Promise<void> {
    if (this.status === 'wait' || this.status === 'end') this.#closing = false;
    await super.connect(callback);
  }

  override disconnect(reconnect = false): void {
    if (reconnect) {
      this.#route.cut();
      return;
    }
    this.#closing = true;
    super.disconnect();
    this.#room.rejectAll(new Error(CLOSED));
  }

  override duplicate<Override extends Partial<RedisOptions> | undefined = undefined>(
    override?: Override,
  ): ReturnType<typeof Redis.prototype.duplicate<Override>> {
    const options: FleetRedisOptions = { ...this.#options, ...override };
    return new FleetRedis(this.#settings, options) as never;
  }

  override sendCommand(command: Command, stream?: Stream): unknown {
    if (this.#isOwn(command)) {
      this.#own.add(command);
      return super.sendCommand(command, stream);
    }
    if (this.status === 'end') return super.sendCommand(command, stream);
    const name = command.name.toLowerCase();
    if (name === 'quit' && !this.#connected && this.#room.size === 0) {
      this.disconnect();
      command.resolve(Buffer.from('OK'));
      return command.promise;
    }
    this.#transactions.issued(command);
    if (this.#closing) {
      command.reject(new Error(CLOSED));
      return command.promise;
    }
    if (this.#open && this.stream.writable) return this.#send(command, stream);
    if (this.options.commandTimeout !== undefined) command.setTimeout(this.options.commandTimeout);
    this.#room.add(command);
    if (this.status === 'wait') this.connect().catch(() => undefined);
    return command.promise;
  }

  /** The answer was an error. @ignore */
  override handleReconnection(error: Error, item: Item): void {
    const { command } = item;
    if (!(command instanceof Command)) {
      super.handleReconnection(error, item);
      return;
    }
    const transaction = this.#transactions.of(command);
    const refusal = this.#refusalOf(error, transaction);
    if (refusal === null || this.#closing) {
      super.handleReconnection(error, item);
      return;
    }
    if (transaction) transaction.refused = true;
    if (transaction && command.name.toLowerCase() === 'exec') {
      transaction.restart();
      if (transaction.watches.size > 0) {
        transaction.fail((one) => new TransactionLost(this.#fates.named(one)));
      }
    }
    if (this.#own.has(command)) command.reject(error);
    else if (!command.isSettled) this.#room.putBack(command, { refusal: error });
    this.#refused(refusal);
  }

  /** AUTH was refused, or what answers is not Redis. @ignore */
  override recoverFromFatalError(
    ...[command, error, options]: Parameters<Redis['recoverFromFatalError']>
  ): void {
    // That does not pass by waiting.
    if (/^(WRONGPASS|NOPERM|NOAUTH)\b/.test(error.message)) this.#room.rejectAll(error);
    super.recoverFromFatalError(command, error, options);
  }

  /** The record changed, or a follower may be back. @ignore */
  reconsider(): void {
    const { database, log } = this.#settings;
    if (!this.#route.astray) {
      // It leads (again): what it refused may be taken now.
      if (this.#moving) this.#stayHere();
      else if (this.#retry) this.#whenDrained(() => this.#flush());
      return;
    }
    const { target, at } = this.#route;
    if (target && at) log.info(`${database}: moving from ${showEndpoint(at)} to ${showEndpoint(target)}.`);
    if (!this.#connected) {
      this.#route.cut();
      return;
    }
    this.#open = false;
    this.#moving = true;
    this.#stopRetry();
    // While the last answers come.
    this.#route.prepare();
    const { watch, graceMs } = this.#settings;
    this.#whenDrained(() => this.#route.cut(), graceFor(watch.record, graceMs));
  }

  /** The connection is gone; ioredis does not know yet. @ignore */
  lost(): void {
    const why = this.#moving ? 'another leader took over' : 'the connection was lost';
    this.#connected = false;
    this.#open = false;
    this.#moving = false;
    this.#stopRetry();
    this.#drain.forget();
    this.#route.lost();
    // Not yet ready: what is under way is the handshake.
    if (this.status !== 'ready' || this.#closing) return;
    for (let item = this.commandQueue.shift(); item; item = this.commandQueue.shift()) {
      const { command } = item;
      if (!(command instanceof Command) || command.isSettled || this.#own.has(command)) continue;
      this.#fates.interrupted(command, why, this.#room);
    }
  }

  /** Frees what it holds; it may not be used again. @ignore */
  release(): void {
    this.disconnect();
    this.#route.close();
  }

  #becameReady(): void {
    if (this.status !== 'ready') return;
    this.#connection++;
    this.#connected = true;
    this.#route.ready();
    this.stream.on('data', () => {
      if (this.commandQueue.length === 0) this.#drain.end();
    });
    if (this.#route.astray) this.reconsider();
    else this.#flush();
  }

  #ended(): void {
    this.#stopRetry();
    this.#drain.forget();
    this.#route.close();
    this.#room.rejectAll(new Error(CLOSED));
  }

  /** ioredis greets, and subscribes again, before anything else is sent. */
  #isOwn(command: Command): boolean {
    if (this.status === 'connect') return this.condition?.handshake ?? false;
    const name = command.name.toLowerCase();
    return this.status === 'ready' && !this.#connected && (name === 'select' || SUBSCRIPTIONS.has(name));
  }

  #send(command: Command, stream?: Stream): unknown {
    const transaction = this.#transactions.of(command);
    if (transaction && !this.#resume(transaction, command)) return command.promise;
    this.#transactions.sent(command, this.#connection);
    if (command.name.toLowerCase() === 'quit') this.#closing = true;
    return super.sendCommand(command, stream);
  }

  /** Sends again what an earlier connection had of it. false: it failed. */
  #resume(transaction: Transaction, command: Command): boolean {
    const before = transaction.over ? null : transaction.before(command, this.#connection);
    if (before === null) {
      if (!transaction.over) transaction.fail((one) => new TransactionLost(this.#fates.named(one)));
      if (!command.isSettled) command.reject(new TransactionLost(this.#fates.named(command)));
      return false;
    }
    for (const { name, args } of before) {
      const copy = new Command(name, args);
      copy.promise.catch(() => undefined);
      this.#own.add(copy);
      this.#transactions.standsIn(copy, transaction);
      super.sendCommand(copy);
    }
    return true;
  }

  /** Everything that waited, in one packet. */
  #flush(): void {
    this.#stopRetry();
    this.#moving = false;
    this.#open = true;
    this.stream.cork();
    for (const command of this.#room.take()) this.#send(command);
    this.stream.uncork();
  }

  #stayHere(): void {
    this.#drain.forget();
    this.#whenDrained(() => this.#flush());
  }

  #refusalOf(error: Error, transaction: Transaction | undefined): 'moved' | 'unavailable' | null {
    const refusal = refusalOf(error.message);
    // Whoever writes to a follower is told so.
    if (refusal === 'moved' && this.#settings.role === 'follower') return null;
    if (refusal === null && transaction?.refused && isDiscarded(error.message)) return 'moved';
    return refusal;
  }

  /** It was not executed. It is sent again when the record changes, or after a pause: the leader may be let again. */
  #refused(refusal: 'moved' | 'unavailable'): void {
    if (!this.#connected || this.#moving) return;
    this.#open = false;
    if (refusal === 'unavailable') this.#route.followerFailed();
    if (this.#route.astray) {
      this.reconsider();
      return;
    }
    if (this.#retry) return;
    this.#settings.watch.nudge();
    const now = performance.now();
    this.#refusals = now - this.#refusedAt > CALM_MS ? 1 : this.#refusals + 1;
    this.#refusedAt = now;
    const again = (): void => this.#whenDrained(() => this.#flush());
    this.#retry = setTimeout(again, pauseAfter(this.#refusals + 1));
  }

  /** `then` once every command in flight is answered, or after the grace: whichever comes first. */
  #whenDrained(then: () => void, graceMs = this.#settings.graceMs): void {
    this.#drain.wait(this.commandQueue.length, graceMs, then);
  }

  #stopRetry(): void {
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
  }
}
