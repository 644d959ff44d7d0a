/** Takes traces as Jaeger does (OTLP over HTTP, port 4318) and lists whom they came from (port 16686, /api/services). */
import { createServer } from 'node:http';

const spans = new Map();

createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    for (const { resource, scopeSpans } of JSON.parse(Buffer.concat(parts).toString()).resourceSpans ?? []) {
      const name = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? 'unknown';
      const known = spans.get(name) ?? new Set();
      for (const { traceId } of scopeSpans.flatMap((scope) => scope.spans)) known.add(traceId);
      spans.set(name, known);
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
}).listen(4318);

createServer((request, response) => {
  const [, trace] = /^\/api\/traces\/([0-9a-f]{32})$/.exec(request.url) ?? [];
  const services = [...spans].filter(([, traces]) => trace === undefined || traces.has(trace)).map(([name]) => name);
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ data: services.sort() }));
}).listen(16686);

for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
