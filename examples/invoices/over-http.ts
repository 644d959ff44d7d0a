import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { assertionHeader } from '@prime-nest/contracts/assertion';
import type { AssertedPrincipal } from '@prime-nest/assertion/verify';
import type { Door } from './door.ts';
import type { Ledger } from './ledger.ts';

const bodyBytesMax = 64 * 1024;

/** GET and POST /invoices. The access token of the caller never comes here; the assertion says who it is. */
export function serveHttp(door: Door, ledger: Ledger, log: (line: object) => void): Server {
  return createServer((request, response) => {
    void (async () => {
      const body = await read(request);
      const { method = '', url = '' } = request;
      const header = request.headers[assertionHeader];
      const assertion = typeof header === 'string' ? header : undefined;
      const verdict = await door.judge(assertion, { method, target: url, body });
      if ('code' in verdict) {
        log({ event: 'request.refused', reason: verdict.code });
        answer(response, 401, { code: 'assertion_refused' });
        return;
      }
      handle({ method, url, body, principal: verdict.principal }, response, ledger);
    })().catch(() => {
      response.destroy();
    });
  });
}

interface Verified {
  readonly method: string;
  readonly url: string;
  readonly body: Buffer;
  readonly principal: AssertedPrincipal;
}

function handle({ method, url, body, principal }: Verified, response: ServerResponse, ledger: Ledger): void {
  const { pathname, searchParams } = new URL(url, 'http://invoices');
  if (pathname !== '/invoices') return answer(response, 404, { code: 'not_found' });
  // Said again here: a mistake in the route file must not be enough to open this.
  if (method === 'GET' && principal.permission === 'invoices:view') {
    return answer(response, 200, { data: ledger.list(searchParams.get('status')) });
  }
  if (method === 'POST' && principal.permission === 'invoices:create' && principal.id !== undefined) {
    const { total } = JSON.parse(body.toString('utf8')) as { total?: unknown };
    if (typeof total !== 'number' || !(total > 0)) return answer(response, 422, { code: 'total_invalid' });
    return answer(response, 201, ledger.write(total, principal.id));
  }
  return answer(response, 403, { code: 'forbidden' });
}

function answer(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > bodyBytesMax) throw new RangeError('body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
