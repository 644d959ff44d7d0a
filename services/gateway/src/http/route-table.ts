/** Which methods an address supports, from the routes that were registered. For `405` and `Allow` (RFC 9110 §15.5.6). */
export class RouteTable {
  readonly #exact = new Map<string, Set<string>>();
  readonly #open = new Map<string, Set<string>>();
  readonly #patterns = new Map<string, { readonly segments: readonly string[]; readonly methods: Set<string> }>();

  add(path: string, methods: readonly string[]): void {
    if (path === '*' || path === '/*') return;
    if (path.endsWith('/*')) {
      const known = this.#open.get(path) ?? new Set();
      this.#open.set(path, known);
      for (const method of methods) known.add(method);
      return;
    }
    const key = path === '/' ? path : path.replace(/\/$/, '');
    if (!key.includes(':')) {
      const known = this.#exact.get(key) ?? new Set();
      this.#exact.set(key, known);
      for (const method of methods) known.add(method);
      return;
    }
    const known = this.#patterns.get(key) ?? { segments: key.split('/'), methods: new Set() };
    this.#patterns.set(key, known);
    for (const method of methods) known.methods.add(method);
  }

  /** Sorted; empty when nothing is at this path. */
  allowed(path: string): string[] {
    const found = new Set(this.#exact.get(path));
    const segments = path.split('/');
    for (const { segments: pattern, methods } of this.#patterns.values()) {
      if (matches(pattern, segments)) for (const method of methods) found.add(method);
    }
    for (const [pattern, methods] of this.#open) {
      if (path.startsWith(pattern.slice(0, -1))) for (const method of methods) found.add(method);
    }
    return [...found].sort();
  }

  /** Every registered path with its methods, `METHOD /path`, sorted. */
  list(): string[] {
    const paths = [
      ...this.#exact,
      ...this.#open,
      ...[...this.#patterns].map(([path, { methods }]) => [path, methods] as const),
    ];
    return paths.flatMap(([path, methods]) => [...methods].map((method) => `${method} ${path}`)).sort();
  }
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  if (pattern.length !== segments.length) return false;
  return pattern.every((part, i) => (part.startsWith(':') ? segments[i] !== '' : part === segments[i]));
}
