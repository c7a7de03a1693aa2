/**
 * What ends the children when `redis-fleet dev` itself is killed hard: a shell that waits for the end of its
 * standard input, which the kernel closes with us, and then does what an orderly stop would have done.
 */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

/** $1: folder of pid files. $2: folder of hosts when their Redis processes shall go, too, else empty. $3: folder to remove. */
const SCRIPT = `
read -r word
[ "$word" = done ] && exit 0
alive() { stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1; set -- "$2" $(echo "\${stat##*) }"); [ "\${21}" = "$1" ]; }
for signal in TERM KILL; do
  for file in "$1"/*.pid; do
    [ -f "$file" ] || continue
    read -r pid started < "$file"
    alive "$pid" "$started" && kill -s "$signal" "$pid"
  done
  [ "$signal" = TERM ] && sleep 3
done
rm -f "$1"/*.pid
if [ -n "$2" ]; then
  for cwd in /proc/[0-9]*/cwd; do
    case "$(readlink "$cwd" 2>/dev/null)" in
      "$2"/*) pid=\${cwd#/proc/}; pid=\${pid%/cwd}
        case "$(cat "/proc/$pid/comm" 2>/dev/null)" in redis-server*) kill -s KILL "$pid" ;; esac ;;
    esac
  done
fi
[ -n "$3" ] && rm -rf "$3"
exit 0
`;

export class Reaper {
  readonly #shell: ChildProcess;

  /** `hosts`: also kill the Redis processes in there; a fleet that shall survive leaves them out. */
  constructor(folders: { pids: string; hosts: string | null; remove: string | null }) {
    this.#shell = spawn(
      'bash',
      ['-c', SCRIPT, 'reaper', folders.pids, folders.hosts ?? '', folders.remove ?? ''],
      {
        stdio: ['pipe', 'ignore', 'ignore'],
        detached: true,
      },
    );
    this.#shell.on('error', () => undefined);
    this.#shell.stdin?.on('error', () => undefined);
    this.#shell.unref();
  }

  /** An orderly stop: there is nothing to do. */
  dismiss(): void {
    this.#shell.stdin?.end('done\n');
  }
}
