import { readFile } from 'node:fs/promises';

/** The list that ships with the service (`data/common-passwords.txt`), in lower case. */
export async function loadCommonPasswords(): Promise<ReadonlySet<string>> {
  // The same distance from `src` and from `dist`.
  const text = await readFile(new URL('../../data/common-passwords.txt', import.meta.url), 'utf8');
  return new Set(text.split('\n').filter((line) => line !== ''));
}
