/**
 * `npm run deploy:pin`: the base images by content instead of by name, as lines for an `.env` file that the compose
 * file and the Dockerfile's arguments read: `NODE_IMAGE=node:24.21.0-bookworm-slim@sha256:…`. Asks the registry through
 * the engine (`docker pull`). Without an answer for one of them it says so, prints nothing and exits 1: nothing is
 * called pinned that is not.
 */
import { findEngine, official, run } from '../containers/engine.mjs';

const { docker } = findEngine();
const lines = Object.entries(official).map(([variable, preset]) => {
  const image = process.env[variable] ?? preset;
  const name = image.replace(/@sha256:.*$/, '');
  run(docker, ['pull', '--quiet', name], { quiet: true });
  const [found] = JSON.parse(run(docker, ['image', 'inspect', name], { quiet: true }));
  const digest = /@(sha256:[0-9a-f]{64})$/.exec(found.RepoDigests?.[0] ?? '')?.[1];
  if (digest === undefined) throw new Error(`${name} comes from no registry: it has no digest`);
  return `${variable}=${name}@${digest}`;
});
console.log(lines.join('\n'));
