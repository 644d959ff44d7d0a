/**
 * The control: a server as it is written in a hurry, with Node's defaults. It reads every body to its end, believes
 * what it parsed, and puts what it got into headers, a copy and a log line.
 */
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    try {
      if (request.url === '/big') {
        response.end('x'.repeat(8_000_000));
        return;
      }
      const query = decodeURIComponent(request.url.split('?search=')[1] ?? '');
      const value = body === '' ? { name: query } : JSON.parse(body);
      JSON.stringify(value);
      response.setHeader('x-name', value.name ?? '');
      response.end(JSON.stringify(value));
    } catch (error) {
      response.writeHead(500).end(String(error.stack));
    }
  });
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
