/** The SDK's runtime, once a process: its words go to our log, and signals are ours. */

import { IllegalStateError } from '@temporalio/common';
import { Runtime } from '@temporalio/worker';
import type { LogLevel, LogMetadata, Logger } from '@temporalio/worker';
import type { Log } from '../connections/log.js';

let installed = false;

/** Call before the first connection of a worker. Later calls change nothing. */
export function installRuntime(log: Log): void {
  if (installed) return;
  installed = true;
  try {
    Runtime.install({
      logger: new SdkLog(log),
      telemetryOptions: { logging: { filter: { core: 'WARN', other: 'ERROR' }, forward: {} } },
      // A worker that still waits for Temporal must end on a signal, too: whoever runs it listens.
      shutdownSignals: [],
    });
  } catch (error) {
    // Somebody in this process connected before us, and has it as it is.
    if (!(error instanceof IllegalStateError)) throw error;
  }
}

/**
 * Lets the process end: an installed runtime keeps it alive for ever when no connection was opened, because a setting
 * was wrong or a signal came first. Call it last.
 */
export async function releaseRuntime(): Promise<void> {
  if (!installed) return;
  installed = false;
  await Runtime.instance().shutdown();
}

/** Fields of the SDK's log entries that say something to an engineer. */
const TELLING = ['activityType', 'attempt', 'workflowId', 'workflowType', 'taskQueue', 'durationMs', 'error'];

class SdkLog implements Logger {
  constructor(private readonly to: Log) {}

  log(level: LogLevel, message: string, meta?: LogMetadata): void {
    switch (level) {
      case 'ERROR': {
        this.error(message, meta);
        return;
      }
      case 'WARN': {
        this.warn(message, meta);
        return;
      }
      case 'INFO':
      case 'DEBUG':
      case 'TRACE':
        return;
    }
  }

  // The SDK is talkative: below a warning it speaks of itself, not of databases.
  trace(): void {
    return;
  }
  debug(): void {
    return;
  }
  info(): void {
    return;
  }
  warn(message: string, meta?: LogMetadata): void {
    this.to.warn(telling(meta), message);
  }
  error(message: string, meta?: LogMetadata): void {
    this.to.error(telling(meta), message);
  }
}

function telling(meta: LogMetadata = {}): object {
  return Object.fromEntries(
    TELLING.flatMap((field) => (meta[field] === undefined ? [] : [[field, meta[field] as unknown]])),
  );
}
