/**
 * A network on this machine that was made for one `redis-fleet dev`, so that its hosts are apart from each other as
 * machines are: each zone is a network namespace, and Temporal, Consul and the control worker are outside of all.
 */
export interface DevNetwork {
  /** What is outside of all zones has this address: Consul, and the way to Temporal. */
  readonly outside: string;
  /** Whether a host may have this address. */
  owns(address: string): boolean;
  /** What a command begins with that is to run in a zone. It becomes that command: same pid, same files. */
  enter(zone: string): readonly [string, ...string[]];
  /** Makes a server that listens on 127.0.0.1 reachable at `outside`, too. Returns the port there. */
  forward(port: number): Promise<number>;
}
