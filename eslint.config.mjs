import js from '@eslint/js'
import tseslint from 'typescript-eslint'
import { impureModules, layers } from './layers.mjs'

const allFolders = layers.flatMap((layer) => layer.folders)

/** What one folder of src/ may not import, each with its reason. */
function importRules(folder) {
  const layer = layers.find((candidate) => candidate.folders.includes(folder))
  const allowed = layers.filter((lower) => lower.row < layer.row).flatMap((lower) => lower.folders)
  const patterns = allFolders
    .filter((other) => other !== folder && !allowed.includes(other))
    .map((other) => ({
      group: [`**/${other}/**`],
      message: `${folder}/ (row ${layer.row}) imports only lower rows; ${other}/ is not one (layers.mjs, DESIGN.md 3).`,
    }))
  if (folder !== 'telemetry') {
    patterns.push({
      group: ['@opentelemetry/*', '!@opentelemetry/semantic-conventions'],
      message: 'only telemetry/ imports the OpenTelemetry SDK (DESIGN.md 3).',
    })
  }
  const paths = layer.pure
    ? impureModules.flatMap((name) => [
        {
          name: `node:${name}`,
          message: `${folder}/ is pure: no sockets, files or timers (DESIGN.md 3).`,
        },
        { name, message: `${folder}/ is pure: no sockets, files or timers (DESIGN.md 3).` },
      ])
    : []
  return {
    files: [`src/${folder}/**/*.ts`],
    rules: { 'no-restricted-imports': ['error', { paths, patterns }] },
  }
}

const timers = 'timers and the clock come in as a Clock; only core/clock.ts touches the real ones.'

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', 'src/workload-api/generated/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      eqeqeq: 'error',
      'no-console': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/bin/**'],
    rules: {
      'no-restricted-globals': [
        'error',
        { name: 'process', message: 'only bin/ sees the process (STYLE.md).' },
        { name: 'setTimeout', message: timers },
        { name: 'setInterval', message: timers },
      ],
      'no-restricted-properties': ['error', { object: 'Date', property: 'now', message: timers }],
    },
  },
  {
    files: ['src/core/clock.ts'],
    rules: { 'no-restricted-globals': 'off', 'no-restricted-properties': 'off' },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      'no-console': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['src/admin/page/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'document',
          'location',
          'fetch',
          'setInterval',
          'EventSource',
          'FormData',
          'URLSearchParams',
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        Buffer: 'readonly',
        setTimeout: 'readonly',
      },
    },
  },
  ...allFolders.map(importRules),
)
