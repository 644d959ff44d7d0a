import type { LogEntry } from '@prime-nest/contracts/audit';

export type LinkedEntry = LogEntry & { readonly traceUrl?: string };

/** An entry with the address where a person sees its trace; `template` holds `{traceId}`. Without one, as it was. */
export function linked(entry: LogEntry, template: string | undefined): LinkedEntry {
  return template === undefined ? entry : { ...entry, traceUrl: template.replaceAll('{traceId}', entry.traceId) };
}
