import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface Manifest extends JsonObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> };
}

export const repositoryRoot = path.resolve(import.meta.dirname, '../..');
export const variants = ['minimal', 'production', 'operators', 'everything'] as const;
export type Variant = (typeof variants)[number];

/** The committed manifests of a variant, as kubectl would apply them. */
export function manifestsOf(variant: Variant): Manifest[] {
  const folder = path.join(repositoryRoot, 'deploy/k8s/rendered', variant);
  return readdirSync(folder).flatMap((file) =>
    parseAllDocuments(readFileSync(path.join(folder, file), 'utf8')).flatMap((document) => {
      const object = document.toJS() as Manifest | null;
      return object === null ? [] : [object];
    }),
  );
}

/** What stands at a path of keys and indexes, or undefined. */
export function at(value: Json | undefined, ...keys: (string | number)[]): Json | undefined {
  return keys.reduce<Json | undefined>((found, key) => {
    if (typeof found !== 'object' || found === null) return undefined;
    return (found as Record<string | number, Json>)[key];
  }, value);
}

export const list = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);
export const entries = (value: Json | undefined): [string, Json][] =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
/** A text or number as text; anything else as nothing. */
export const text = (value: Json | undefined): string =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : '';

export interface Workload {
  readonly label: string;
  readonly manifest: Manifest;
  readonly component: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pod: Json;
  readonly containers: readonly Json[];
}

/** Whatever makes pods. */
export function workloads(manifests: readonly Manifest[]): Workload[] {
  return manifests
    .filter(({ kind }) => ['Deployment', 'StatefulSet', 'Job', 'Pod'].includes(kind))
    .map((manifest) => {
      const template: Json = manifest.kind === 'Pod' ? manifest : (at(manifest, 'spec', 'template') ?? {});
      const labels = Object.fromEntries(
        entries(at(template, 'metadata', 'labels')).map(([key, value]) => [key, text(value)]),
      );
      const pod = at(template, 'spec') ?? {};
      return {
        label: `${manifest.kind}/${manifest.metadata.name}`,
        manifest,
        component: labels['app.kubernetes.io/component'] ?? '',
        labels,
        pod,
        containers: [...list(at(pod, 'initContainers')), ...list(at(pod, 'containers'))],
      };
    });
}

/** Whether a label selector takes these labels; `undefined` takes nothing, an empty one everything. */
export function selects(selector: Json | undefined, labels: Readonly<Record<string, string>>): boolean {
  if (selector === undefined) return false;
  return entries(at(selector, 'matchLabels')).every(([key, value]) => labels[key] === value);
}
