/** The pages of docs in each language, and what is in them. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');
export const languages = ['en', 'pt-br'];

/** Names of the pages that a language has. */
export function pagesOf(language) {
  return readdirSync(path.join(root, 'docs', language)).filter((name) => name.endsWith('.md'));
}

export function textOf(language, name) {
  return readFileSync(path.join(root, 'docs', language, name), 'utf8');
}

/** The blocks of a page that are meant to be run: ```sh run. */
export function commandsOf(text) {
  return [...text.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map(([, commands]) => commands);
}

/** The targets of links to files, without the part after #. */
export function linksOf(text) {
  return [...text.matchAll(/\]\((?!https?:|mailto:|#)([^)#]+)(?:#[^)]*)?\)/g)].map(([, target]) => target);
}
