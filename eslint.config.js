// Lint rules. Surprise: the few rules that need types are on for js/ and worker/ only, to keep the run short.
import tseslint from 'typescript-eslint';

const restricted = [
  { selector: 'TSEnumDeclaration', message: 'erasable syntax only: use a const object' },
  { selector: 'TSParameterProperty', message: 'erasable syntax only: assign the field' },
];

export default tseslint.config(
  { ignores: ['build/', 'node_modules/', 'tests/golden/', 'coverage/', '.toolchain/'] },
  ...tseslint.configs.strict,
  {
    rules: {
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', ...restricted],
      'prefer-const': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['js/**/*.ts', 'worker/**/*.ts'],
    languageOptions: { parserOptions: { project: './tsconfig.json' } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
    },
  },
  { files: ['tests/**/*.ts'], rules: { '@typescript-eslint/no-non-null-assertion': 'off' } },
);
