/** A checkout of its own and a PATH of stub programs, on which scripts/toolchain runs for real. */

import { spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const PROJECT = path.resolve(import.meta.dirname, '../..');

/** What scripts/toolchain needs of any Linux; go, python3 and package managers are not among them. */
const SYSTEM = [
  'bash', 'cat', 'chmod', 'dirname', 'env', 'flock', 'grep', 'head', 'ln', 'mkdir', 'mv', 'readlink', 'rm', 'setsid',
  'sleep', 'tail', 'touch', 'uname',
]; // prettier-ignore

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

export interface Running {
  readonly pid: number;
  readonly ended: Promise<Outcome>;
  /** What it has said so far. */
  said(): string;
}

export class Stage {
  readonly directory = mkdtempSync(path.join(os.tmpdir(), 'toolchain-'));
  readonly checkout = path.join(this.directory, 'checkout');
  readonly home = path.join(this.directory, 'home');
  /** First on PATH. */
  readonly programs = path.join(this.directory, 'programs');
  private readonly system = path.join(this.directory, 'system');

  constructor() {
    for (const folder of [this.home, this.programs, this.system]) mkdirSync(folder);
    cpSync(path.join(PROJECT, 'scripts/toolchain'), path.join(this.checkout, 'scripts/toolchain'));
    cpSync(path.join(PROJECT, 'tools'), path.join(this.checkout, 'tools'), { recursive: true });
    for (const name of SYSTEM) {
      const found = ['/usr/bin', '/bin'].map((folder) => path.join(folder, name)).find(existsSync);
      if (found === undefined) throw new Error(`${name} is in neither /usr/bin nor /bin`);
      symlinkSync(found, path.join(this.system, name));
    }
    // For tests that run it as another user.
    for (const folder of [this.directory, this.home, this.programs, this.checkout]) chmodSync(folder, 0o777);
  }

  tools(name = ''): string {
    return path.join(this.checkout, '.tools', name);
  }

  /** A stub: a bash script, in `folder` of PATH. */
  program(name: string, body: string, folder = this.programs): string {
    mkdirSync(folder, { recursive: true });
    const file = path.join(folder, name);
    writeFileSync(file, `#!/usr/bin/env bash\n${body}\n`, { mode: 0o755 });
    return file;
  }

  redis(version: string, folder = this.programs): string {
    for (const name of ['redis-cli', 'redis-check-rdb']) this.program(name, 'exit 0', folder);
    return this.program(
      'redis-server',
      `echo 'Redis server v=${version} sha=00000000:0 malloc=libc bits=64'`,
      folder,
    );
  }

  temporal(version: string, folder = this.programs): string {
    return this.program('temporal', `echo 'temporal version ${version} (Server 1.32.0, UI 2.54.1)'`, folder);
  }

  consul(version: string, folder = this.programs): string {
    return this.program('consul', `printf 'Consul v${version}\\nRevision abc\\n'`, folder);
  }

  /** `go` that builds a stub consul; `before` runs when `go build` has begun to write its output. */
  go(before = ''): void {
    this.program(
      'go',
      `[[ $1 == env ]] && { echo go1.26.8; exit; }
       echo "go $*" >>'${this.directory}/calls'
       echo "HOME=$HOME" >>'${this.directory}/calls'
       while [[ $1 != -o ]]; do shift; done
       echo 'half a consul' >"$2"
       ${before}
       printf '#!/usr/bin/env bash\\nprintf "Consul v1.20.0\\\\n"\\n' >"$2"
       chmod +x "$2"`,
    );
  }

  /** `python3` whose pip brings a stub temporal. */
  python(): void {
    this.program(
      'python3',
      `[[ $2 == venv ]] || exit 1
       mkdir -p "$3/bin"
       cat >"$3/bin/python" <<'PIP'
#!/usr/bin/env bash
echo "pip $*" >>'${this.directory}/calls'
printf '#!/usr/bin/env bash\\necho "temporal version 1.9.1 (Server 1.32.0)"\\n' >"$(dirname "$0")/temporal"
chmod +x "$(dirname "$0")/temporal"
PIP
       chmod +x "$3/bin/python"`,
    );
  }

  /** What the stubs of go, pip and apt-get were asked. */
  calls(): readonly string[] {
    const file = path.join(this.directory, 'calls');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  }

  start(args: readonly string[] = [], options: StartOptions = {}): Running {
    const began = performance.now();
    const child = spawn(path.join(options.checkout ?? this.checkout, 'scripts/toolchain'), args, {
      env: {
        PATH: [...(options.first ?? []), this.programs, this.system].join(':'),
        ...(options.home === null ? {} : { HOME: options.home ?? this.home }),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.uid === undefined ? {} : { uid: options.uid }),
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    const ended = new Promise<Outcome>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => {
        resolve({ code, stdout, stderr, seconds: (performance.now() - began) / 1000 });
      });
    });
    return { pid: child.pid ?? -1, ended, said: () => stderr };
  }

  run(args: readonly string[] = [], options: StartOptions = {}): Promise<Outcome> {
    return this.start(args, options).ended;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface StartOptions {
  readonly first?: readonly string[];
  /** null: HOME is not set. */
  readonly home?: string | null;
  readonly uid?: number;
  readonly checkout?: string;
}

export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`10 s passed, and not yet: ${what}`);
    await delay(20);
  }
}
