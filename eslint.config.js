import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['**/dist', 'data', 'node_modules', 'migrations/meta', 'api/grpc/generated'] }),
  {
    files: ['**/*.ts', '**/*.tsx'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Rows and wire fields keep their snake_case names from end to end: one name, nothing to map.
      camelcase: 'off',
      // What cannot be broken is the exception: a line that is one string, a regular expression, the title of a test.
      '@stylistic/max-len': ['error', {
        code: 110,
        ignoreUrls: true,
        ignoreRegExpLiterals: true,
        ignorePattern: "^\\s*(\\w+: )?['\"`].*['\"`](,?\\)?| \\+)$|^\\s*(test|it|describe|\\] as const\\))(\\.\\w+)*\\("
      }],
      // A schema and its type share a name; real redeclarations are the compiler's to report.
      '@typescript-eslint/no-redeclare': 'off',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }]
    }
  }
]
