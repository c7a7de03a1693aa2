import tseslint from 'typescript-eslint';

/** Imports go one way: cli, workers → workflows → fleet, and activities → fleet. */
function mayNotImport(files, folders, why) {
  return {
    files,
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: folders.map((folder) => `**/${folder}/**`), message: why, allowTypeImports: true },
          ],
        },
      ],
    },
  };
}

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.tools/', '.redis-fleet/', 'test/histories/'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-console': 'error',
    },
  },
  mayNotImport(
    ['src/fleet/**'],
    ['workflows', 'activities', 'workers', 'cli', 'connections', 'records', 'host', 'testbed'],
    'fleet/ is the pure domain: it knows no system.',
  ),
  mayNotImport(
    ['src/workflows/**'],
    ['activities', 'workers', 'cli', 'connections', 'records', 'host', 'testbed'],
    'Workflows know activities only as types.',
  ),
  mayNotImport(
    ['src/activities/**'],
    ['workflows', 'workers', 'cli', 'testbed'],
    'Activities do one thing to one system.',
  ),
  mayNotImport(
    ['src/host/**', 'src/records/**', 'src/connections/**'],
    ['workflows', 'workers', 'cli', 'testbed'],
    'Systems do not know who uses them.',
  ),
  { files: ['**/*.js', '**/*.mjs'], ...tseslint.configs.disableTypeChecked },
);
