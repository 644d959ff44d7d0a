import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { at, entries, list, repositoryRoot, text } from './manifests.js';
import type { Json, JsonObject } from './manifests.js';

const source = readFileSync(path.join(repositoryRoot, 'docker-compose.yml'), 'utf8');
const setting = /(?<!\$)\$\{([A-Z_]+):-([^}]*)\}/g;

/** The compose file with its anchors resolved; `${NAME:-default}` as its default. */
export function composeFile(): JsonObject {
  return parse(
    source.replaceAll(setting, (_whole, _name, preset: string) => preset),
    { merge: true },
  ) as JsonObject;
}

/** What it takes from the environment. */
export const composeSettings = (): string[] => [...new Set([...source.matchAll(setting)].map(([, name = '']) => name))];

/** The same with what deploy/compose/routes.yaml adds: variables and volumes of services that are there already. */
export function withRoutes(file: JsonObject): JsonObject {
  const overlay = parse(readFileSync(path.join(repositoryRoot, 'deploy/compose/routes.yaml'), 'utf8')) as JsonObject;
  const merged = structuredClone(file);
  for (const [name, more] of composeServices(overlay)) {
    const service = at(merged, 'services', name) as JsonObject;
    service['environment'] = { ...(service['environment'] as JsonObject), ...(at(more, 'environment') as JsonObject) };
    service['volumes'] = [...list(service['volumes']), ...list(at(more, 'volumes'))];
  }
  return merged;
}

export const composeServices = (file: JsonObject): [string, Json][] => entries(file['services']);

/** Keys that one of the two generations of compose refuses, or that only BuildKit knows. */
const tooNew = ['develop', 'attach', 'provider', 'models', 'post_start', 'pre_stop'];

/** Everything that compose 1.29 would refuse, or that a review would send back. */
export function composeProblems(file: JsonObject): string[] {
  const root = Object.keys(file).filter(
    (key) => !key.startsWith('x-') && !['services', 'networks', 'volumes'].includes(key),
  );
  return [
    ...root.map((key) => `the key ${key} at the top is refused by an older compose`),
    ...composeServices(file).flatMap(([name, service]) =>
      serviceProblems(service).map((problem) => `${name} ${problem}`),
    ),
  ];
}

function serviceProblems(service: Json): string[] {
  const ports = list(at(service, 'ports')).map(text);
  const isJob = at(service, 'restart') === 'no';
  const conditions = entries(at(service, 'depends_on'));
  const isOurs = text(at(service, 'image')).startsWith('prime-nest/');
  const isServer = !isOurs && !isJob;
  return [
    ...tooNew.filter((key) => at(service, key) !== undefined).map((key) => `uses ${key}`),
    ...(at(service, 'healthcheck', 'start_interval') === undefined ? [] : ['uses healthcheck.start_interval']),
    ...conditions.filter(([, one]) => at(one, 'restart') !== undefined).map(([on]) => `uses depends_on.${on}.restart`),
    ...conditions.filter(([, one]) => at(one, 'condition') === undefined).map(([on]) => `does not wait for ${on}`),
    ...ports.filter((port) => !port.startsWith('127.0.0.1:')).map((port) => `publishes ${port} to everybody`),
    ...(at(service, 'read_only') === true ? [] : ['can write its root file system']),
    ...(list(at(service, 'cap_drop')).includes('ALL') ? [] : ['keeps capabilities']),
    ...(list(at(service, 'security_opt')).includes('no-new-privileges:true') ? [] : ['may gain privileges']),
    ...(at(service, 'privileged') === undefined ? [] : ['is privileged']),
    ...(at(service, 'mem_limit') === undefined ? ['has no memory limit'] : []),
    ...(at(service, 'logging') === undefined ? ['logs without an end'] : []),
    ...(isServer && /:latest$|^[^:]+$/.test(text(at(service, 'image'))) ? ['runs a moving image'] : []),
    ...entries(at(service, 'environment'))
      .filter(([key]) => /(PASSWORD|KEY|SEED|SECRET|_DB_URL|REDIS_URL|MIGRATION_URL)$/.test(key))
      .map(([key]) => `has the secret ${key} in its environment`),
  ];
}
