/** Clients as attackers write them: sockets, and nothing that would tidy up what is sent. */
import { Buffer } from 'node:buffer';
import { readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import { performance } from 'node:perf_hooks';
import { setInterval, clearInterval, setTimeout, clearTimeout } from 'node:timers';
import { percentile } from '../../../scripts/statistics.mjs';

/** Attackers come from an address of their own, so that the limits of one client are not everybody's. */
export const attackerAddress = '127.0.0.66';

/**
 * Sends bytes and answers what came back until the server closed, or after `ms`; `status` 0 when nothing did. `ms` of the
 * answer: until it began.
 */
export function exchange(port, bytes, { ms = 5_000, from } = {}) {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: from }, () => socket.write(bytes));
    let text = '';
    let answeredAt;
    const timer = setTimeout(() => socket.destroy(), ms);
    socket.on('data', (data) => {
      answeredAt ??= performance.now();
      text += data.latin1Slice();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
      resolve({ status, text, ms: (answeredAt ?? performance.now()) - startedAt });
    });
  });
}

/** How many sockets a process has, of whatever kind. */
function openSockets(pid) {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}

/** What each server had open before it was attacked for the first time. */
const quiet = new Map();

/**
 * Opens `count` connections that send `first`, then `drip` every second if given, and read nothing when `isDeaf`.
 * Answers how many were open at most, how many still are after `ms`, and when the last one was cut.
 */
export async function hold({ port, pid }, { count, first, drip, isDeaf = false, ms, everyMs = 1_000 }) {
  const sockets = new Set();
  if (!quiet.has(pid)) quiet.set(pid, openSockets(pid));
  const before = quiet.get(pid);
  let most = 0;
  let lastCutMs = 0;
  const statuses = {};
  const startedAt = performance.now();
  for (let i = 0; i < count; i++) {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: attackerAddress });
    socket.on('connect', () => {
      sockets.add(socket);
      most = Math.max(most, sockets.size);
      socket.write(first);
      if (isDeaf) socket.pause();
    });
    socket.on('error', () => undefined);
    if (!isDeaf) {
      socket.once('data', (data) => {
        const status = data.latin1Slice(9, 12);
        statuses[status] = (statuses[status] ?? 0) + 1;
      });
    }
    socket.on('close', () => {
      if (sockets.delete(socket)) lastCutMs = performance.now() - startedAt;
    });
    if (i % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const dripping = setInterval(() => {
    if (drip !== undefined) for (const socket of sockets) socket.write(drip);
  }, everyMs);
  const endsAt = startedAt + ms;
  while (performance.now() < endsAt && (sockets.size > 0 || performance.now() - startedAt < 3_000)) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  clearInterval(dripping);
  // As the server sees it: whoever does not read does not learn that he was cut.
  let left = Math.max(0, openSockets(pid) - before);
  // It has answered and waits for the other end to close as well: that takes a moment, not more.
  for (let i = 0; i < 80 && left > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    left = Math.max(0, openSockets(pid) - before);
  }
  for (const socket of sockets) socket.destroy();
  return { most, left, lastCutMs: Math.round(lastCutMs), statuses };
}

/** Sends chunks for as long as the server takes them, at most `bytesMax`; answers status and how many went out. */
export function endless(port, head, { bytesMax, ms }) {
  return new Promise((resolve) => {
    const chunk = Buffer.from(`10000\r\n${'a'.repeat(0x10000)}\r\n`);
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: attackerAddress });
    let sent = 0;
    let text = '';
    const timer = setTimeout(() => socket.destroy(), ms);
    const pump = () => {
      while (sent < bytesMax && !socket.destroyed) {
        sent += chunk.length;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on('connect', () => {
      socket.write(head);
      pump();
    });
    socket.on('drain', pump);
    socket.on('data', (data) => (text += data.latin1Slice()));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), sent: socket.bytesWritten });
    });
  });
}

/** Asks again and again, as a client with a token does, until `stop` answers what became of it. */
export function steadyTraffic(port, token) {
  const times = [];
  const bad = {};
  let isOver = false;
  const request = `GET /api/features?limit=5 HTTP/1.1\r\nHost: prove\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  const run = (async () => {
    while (!isOver) {
      const { status, ms } = await exchange(port, request, { ms: 10_000 });
      times.push(ms);
      if (status !== 200) bad[status] = (bad[status] ?? 0) + 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await run;
      const at = (share) => Math.round(percentile(times, share));
      return { count: times.length, bad, p50: at(0.5), p99: at(0.99) };
    },
  };
}
