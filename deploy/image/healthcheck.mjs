/** The container's health is its readiness: exits 0 when the service says that it is ready, else 1. */
const port = process.env.HEALTH_PORT ?? process.env.PORT ?? defaultPort();
try {
  const answer = await fetch(`http://127.0.0.1:${port}/health/readiness`, { signal: AbortSignal.timeout(2500) });
  if (!answer.ok) console.error(await answer.text());
  process.exitCode = answer.ok ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

/** The gateway answers on the port of its API, the others on one of their own. */
function defaultPort() {
  return process.cwd().endsWith('/gateway') ? 3000 : 8080;
}
