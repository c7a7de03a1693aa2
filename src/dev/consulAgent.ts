/** A Consul server of its own, with its data on disk, as `redis-fleet dev` starts it. */

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { DevPorts } from './ports.js';

/** Writes the configuration into `folder`, and returns the command. */
export function consulCommand(
  binary: string,
  folder: string,
  address: string,
  ports: DevPorts,
): readonly [string, ...string[]] {
  mkdirSync(path.join(folder, 'data'), { recursive: true });
  const file = path.join(folder, 'consul.json');
  writeFileSync(file, `${JSON.stringify(configuration(folder, address, ports), null, 2)}\n`);
  return [binary, 'agent', '-config-file', file];
}

function configuration(folder: string, address: string, ports: DevPorts): unknown {
  return {
    node_name: 'redis-fleet-dev',
    data_dir: path.join(folder, 'data'),
    server: true,
    bootstrap_expect: 1,
    bind_addr: address,
    client_addr: address,
    advertise_addr: address,
    ui_config: { enabled: true },
    ports: {
      http: ports.consul,
      dns: ports.consulDns,
      server: ports.consulServer,
      serf_lan: ports.consulSerf,
      serf_wan: -1,
      grpc: -1,
      grpc_tls: -1,
    },
    // The timing of production; the default is for machines too small for that.
    performance: { raft_multiplier: 1 },
    // All hosts and clients of this fleet are one address to it; the default is for one machine each.
    limits: { http_max_conns_per_client: 4096 },
    // A stop is a restart here: the single server keeps its place.
    leave_on_terminate: false,
    skip_leave_on_interrupt: true,
    disable_update_check: true,
    log_level: 'warn',
  };
}
