/**
 * What scripts/build has to do.
 *   packages  exit 0 when node_modules is what package-lock.json says
 *   dist      exit 0 when dist/ was built from the sources as they are
 *   print     prints the fingerprint of the sources
 */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const PROJECT = path.resolve(import.meta.dirname, '..');
const SETTINGS = [
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/bundle-workflows.mjs',
];

function read(file) {
  try {
    return readFileSync(path.join(PROJECT, file), 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

/** npm writes this file last, so after an interrupted installation it is missing. */
const INSTALLED = 'node_modules/.package-lock.json';

function packagesAreInstalled() {
  const [locked, installed] = ['package-lock.json', INSTALLED].map((file) => {
    const text = read(file);
    return text === null ? null : JSON.parse(text).packages;
  });
  if (!locked || !installed) return false;
  const wanted = Object.entries(locked).filter(([name]) => name !== '');
  return (
    wanted.every(([name, entry]) =>
      installed[name]
        ? installed[name].version === entry.version && installed[name].integrity === entry.integrity
        : // Of other platforms, or nobody's dependency here.
          entry.optional === true || entry.peer === true,
    ) && Object.keys(installed).every((name) => name in locked)
  );
}

function sources() {
  return readdirSync(path.join(PROJECT, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(PROJECT, path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

function fingerprint() {
  const hash = createHash('sha256');
  for (const file of [...SETTINGS, ...sources()]) hash.update(`${file}\0${read(file) ?? ''}\0`);
  return hash.digest('hex');
}

function distIsUpToDate() {
  if (read('dist/.built-from')?.trim() !== fingerprint()) return false;
  const compiled = sources()
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
    .map((file) => file.replace(/^src/, 'dist').replace(/ts$/, 'js'));
  const bundle = existsSync(path.join(PROJECT, 'src/workflows/index.ts')) ? ['dist/workflow-bundle.js'] : [];
  return [...compiled, ...bundle].every((file) => existsSync(path.join(PROJECT, file)));
}

const question = process.argv[2];
if (question === 'print') process.stdout.write(`${fingerprint()}\n`);
else if (question === 'packages') process.exitCode = packagesAreInstalled() ? 0 : 1;
else if (question === 'dist') process.exitCode = distIsUpToDate() ? 0 : 1;
else process.exitCode = 2;
