/** What the Dockerfile says, carried out without an engine: its copies must be enough to build and to run. */

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROJECT, readProjectFile } from './project.js';

const HOME = '/opt/redis-fleet';

interface Copy {
  readonly from: string | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

const instructions = readProjectFile('Dockerfile')
  .replaceAll('\\\n', ' ')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'));
const stages = instructions.join('\n').split(/^(?=FROM )/m);
const copiesOf = (stage: string): readonly Copy[] =>
  [...stage.matchAll(/^COPY (?:--from=(\S+) )?(.+) (\S+)$/gm)].map(([, from, sources = '', target = '']) => ({
    from,
    sources: sources.split(' '),
    target,
  }));

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'image-'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** As Docker does it: a directory's content goes into the target; into a target that ends in / goes the file. */
function carryOut({ sources, target }: Copy, context: string, stage: string): void {
  for (const source of sources) {
    const from = path.join(context, path.relative(HOME, path.resolve(HOME, source)));
    const to = path.join(
      stage,
      target,
      statSync(from).isFile() && target.endsWith('/') ? path.basename(from) : '',
    );
    mkdirSync(path.dirname(to), { recursive: true });
    cpSync(from, to, { recursive: true, verbatimSymlinks: true });
  }
}

/** The npm packages that a source file imports, itself or through other files of ours. */
function packagesReachedFrom(entry: string): readonly string[] {
  const seen = new Set([entry]);
  const packages = new Set<string>();
  for (const file of seen) {
    const text = readProjectFile(file);
    for (const [, name = ''] of text.matchAll(
      /(?:^import |^export .* from |^} from |^import .* from |\bimport\()'([^']+)'/gm,
    )) {
      if (name.startsWith('.')) seen.add(path.join(path.dirname(file), name.replace(/js$/, 'ts')));
      else if (!name.startsWith('node:'))
        packages.add(name.split('/', name.startsWith('@') ? 2 : 1).join('/'));
    }
  }
  return [...packages].toSorted();
}

describe('the image', () => {
  it('copies only what exists and what .dockerignore lets through', () => {
    const allowed = readProjectFile('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copied = stages.flatMap(copiesOf).filter(({ from }) => from === undefined);
    expect(copied.length).toBeGreaterThan(0);
    for (const source of copied.flatMap(({ sources }) => sources)) {
      expect(existsSync(path.join(PROJECT, source)), source).toBe(true);
      expect(
        allowed.some((path_) => source === path_ || source.startsWith(`${path_}/`)),
        `${source} in .dockerignore`,
      ).toBe(true);
    }
    expect(allowed.filter((entry) => !existsSync(path.join(PROJECT, entry)))).toEqual([]);
  });

  it('builds from what its first stage copies, and runs from what its second stage copies', () => {
    const build = path.join(root, 'build');
    for (const copy of copiesOf(stages[0] ?? '')) carryOut(copy, PROJECT, build);
    // In place of npm ci.
    symlinkSync(path.join(PROJECT, 'node_modules'), path.join(build, 'node_modules'));
    const built = spawnSync('scripts/build', { cwd: build, encoding: 'utf8' });
    expect(built.stderr).toContain('dist/ is up to date');
    expect(built.status).toBe(0);

    const image = path.join(root, 'image');
    for (const copy of copiesOf(stages[1] ?? '')) {
      carryOut(copy, copy.from === 'build' ? build : PROJECT, image);
    }
    for (const command of ['worker', 'agent', 'apply']) {
      const help = spawnSync(path.join(image, 'bin/redis-fleet'), [command, '--help'], {
        cwd: '/',
        encoding: 'utf8',
      });
      expect(help.stdout).toContain(`Usage: redis-fleet ${command}`);
    }
    expect(existsSync(path.join(image, 'dist/workflow-bundle.js'))).toBe(true);
  }, 180_000);

  it('has at run time every package that the command line imports', () => {
    const { dependencies } = JSON.parse(readProjectFile('package.json')) as {
      dependencies: Record<string, string>;
    };
    const packages = packagesReachedFrom('src/cli/main.ts');
    expect(packages).toContain('ioredis');
    expect(packages.filter((name) => !(name in dependencies))).toEqual([]);
  });

  it('starts by scripts that are executable', () => {
    const [entrypoint = ''] = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(stages[1] ?? '')?.[1] ?? '[]') as string[];
    for (const file of [path.relative(HOME, entrypoint), 'deploy/container/host', 'bin/redis-fleet']) {
      expect(statSync(path.join(PROJECT, file)).mode & 0o111, file).toBe(0o111);
    }
  });
});
