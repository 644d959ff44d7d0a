import { createLogView } from './log-view.js';
import type { Observer } from './system.js';

export type OutputMode = 'text' | 'quiet' | 'json';

export interface ConsoleObserver extends Observer {
  /** From now on the services' lines are shown too. */
  follow(): void;
}

const names: Readonly<Record<string, string>> = { postgres: 'PostgreSQL', nats: 'NATS', redis: 'Redis' };

/** Prints one line per step, and after `follow` one combined log. */
export function consoleObserver(mode: OutputMode, colour: boolean, print: (text: string) => void): ConsoleObserver {
  const view = createLogView(colour);
  const tick = colour ? '\u001b[32m✓\u001b[0m' : '✓';
  let following = false;
  return {
    follow: () => (following = true),
    step(name, detail, ms) {
      if (mode === 'json') return print(JSON.stringify({ event: 'step', name, detail, durationMs: Math.round(ms) }));
      if (mode === 'text') print(`${tick} ${(names[name] ?? name).padEnd(20)} ${seconds(ms)}  ${detail}`.trimEnd());
    },
    note(text) {
      if (mode === 'json') return print(JSON.stringify({ event: 'note', text }));
      print(mode === 'quiet' ? text : `- ${text}`);
    },
    line(name, line) {
      if (!following || mode === 'quiet') return;
      print(mode === 'json' ? JSON.stringify({ event: 'log', name, line }) : view(name, line));
    },
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`.padStart(7);
}
