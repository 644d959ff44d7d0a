/** Closed loop on kept connections, one request in flight on each: `load.mjs <connections> <port> <path> <ms> <tokens>`. */
import { Buffer } from 'node:buffer';
import net from 'node:net';
import { performance } from 'node:perf_hooks';

const [connections, port, path, ms, tokens] = process.argv.slice(2);
const bearers = JSON.parse(tokens);
const times = [];
let failed = 0;
const end = performance.now() + Number(ms);

function client(i) {
  const token = bearers.length === 0 ? '' : `Authorization: Bearer ${bearers[i % bearers.length]}\r\n`;
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: bench\r\n${token}\r\n`);
  return new Promise((resolve) => {
    let sentAt = 0;
    let buffer = '';
    const socket = net.connect(Number(port), '127.0.0.1', send);
    socket.setNoDelay(true);
    function send() {
      sentAt = performance.now();
      if (sentAt > end) {
        socket.destroy();
        resolve();
      } else socket.write(request);
    }
    socket.on('data', (data) => {
      buffer += data.latin1Slice();
      const head = buffer.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(buffer)?.[1] ?? 0);
      if (buffer.length < head + 4 + length) return;
      if (!buffer.startsWith('HTTP/1.1 200')) failed += 1;
      buffer = '';
      times.push(performance.now() - sentAt);
      send();
    });
    socket.on('error', () => {
      failed += 1;
      resolve();
    });
  });
}

const startedAt = performance.now();
await Promise.all(Array.from({ length: Number(connections) }, (_, i) => client(i)));
const seconds = (performance.now() - startedAt) / 1000;
times.sort((a, b) => a - b);
const at = (share) => times[Math.floor(times.length * share)] ?? 0;
process.send({ count: times.length, perSecond: times.length / seconds, p50: at(0.5), p99: at(0.99), failed });
