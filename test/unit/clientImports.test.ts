import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

const SOURCE = path.resolve(import.meta.dirname, '../../src');

/** Every module that is loaded at run time when `file` is: types leave nothing behind. */
function loaded(file: string, found = new Set<string>()): ReadonlySet<string> {
  if (found.has(file)) return found;
  found.add(file);
  const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), {
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2023,
      verbatimModuleSyntax: true,
    },
  });
  for (const { fileName } of ts.preProcessFile(outputText).importedFiles) {
    if (fileName.startsWith('.'))
      loaded(path.resolve(path.dirname(file), fileName.replace(/\.js$/, '.ts')), found);
    else found.add(fileName);
  }
  return found;
}

it('an application that imports the client loads ioredis and consul, and nothing of the control plane', () => {
  const modules = [...loaded(path.join(SOURCE, 'client/index.ts'))];
  const packages = modules.filter((name) => !path.isAbsolute(name) && !name.startsWith('node:'));
  expect(packages.toSorted()).toEqual(['consul', 'ioredis']);
  const folders = modules
    .filter((name) => path.isAbsolute(name))
    .map((name) => path.relative(SOURCE, name).split(path.sep)[0]);
  expect([...new Set(folders)].toSorted()).toEqual(['client', 'connections', 'fleet', 'records']);
});
