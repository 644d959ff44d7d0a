export const root: string;
export const languages: readonly string[];
export function pagesOf(language: string): string[];
export function textOf(language: string, name: string): string;
export function commandsOf(text: string): string[];
export function linksOf(text: string): string[];
