import type { EventFilter, ExportedEntry } from '@prime-nest/contracts/audit';
import type { CallContext } from '@prime-nest/contracts/context';
import type { Calls } from '../calls.js';

/**
 * The lines of an export, page after page as they are read: what has been retired, if anything was, every entry, then
 * the checkpoint that they are complete up to. The first page is asked for before this resolves, so that a refusal is still an answer; a later failure ends
 * the lines without the checkpoint, and whoever receives them can tell.
 */
export async function exportLines(
  calls: Calls,
  filter: EventFilter,
  context: CallContext,
): Promise<AsyncGenerator<string>> {
  const ask = (cursor?: string) =>
    calls.call('audit.event.export.v1', { ...filter, ...(cursor === undefined ? {} : { cursor }) }, context);
  let current = await ask();
  async function* lines(): AsyncGenerator<string> {
    if (current.retired !== undefined) yield `${JSON.stringify({ retired: current.retired })}\n`;
    for (;;) {
      if (current.data.length > 0) yield current.data.map(line).join('');
      if (current.nextCursor === null) break;
      current = await ask(current.nextCursor);
    }
    yield `${JSON.stringify({ checkpoint: current.checkpoint })}\n`;
  }
  return lines();
}

function line(entry: ExportedEntry): string {
  return `${JSON.stringify(entry)}\n`;
}
