import { toolTable } from './scripts/lib/tool-table.mjs'

/** What `npm run check` looks for: files, exports and dependencies that nobody uses. */
export default {
  entry: [
    'src/bin/postern.ts',
    'scripts/*.mjs',
    'test/**/*.test.ts',
    'test/support/*.mjs',
    'bench/**/*.{ts,mjs}',
    'examples/**/*.{ts,mjs}',
    // The status page, which names its scripts in HTML.
    'src/admin/page/page.js',
  ],
  project: ['**/*.{js,mjs,ts}'],
  // The types of a function's arguments and results are exported with it, used elsewhere or not.
  ignoreExportsUsedInFile: { interface: true, type: true },
  // It exports what the protocol defines, needed or not.
  ignore: ['src/workload-api/generated/**'],
  // Named where knip does not look: by path in scripts/generate.mjs, and in .mocharc.json.
  ignoreDependencies: ['protoc', 'ts-proto', 'tsx'],
  // Programs that come from outside; scripts/lib/tool-table.mjs says what for and from where.
  // chrt, taskset and mkfifo are of util-linux and coreutils, which every Linux has.
  ignoreBinaries: [
    ...toolTable.flatMap((tool) => tool.commands),
    'chrt',
    'taskset',
    'mkfifo',
    'mount',
    'umount',
    'unshare',
  ],
}
