import { randomUUID } from 'node:crypto';

export interface Invoice {
  readonly id: string;
  readonly total: number;
  readonly status: 'open' | 'approved';
  readonly writtenBy: string;
  readonly approvedBy?: string;
}

/** What this example is about, in memory. */
export class Ledger {
  readonly #invoices = new Map<string, Invoice>();

  list(status: string | null): readonly Invoice[] {
    return [...this.#invoices.values()].filter((invoice) => status === null || invoice.status === status);
  }

  write(total: number, writtenBy: string): Invoice {
    const invoice: Invoice = { id: randomUUID(), total, status: 'open', writtenBy };
    this.#invoices.set(invoice.id, invoice);
    return invoice;
  }

  /** Undefined: there is no such invoice. Whoever wrote it cannot approve it: a rule of this service, not of a role. */
  approve(id: string, approvedBy: string): Invoice | 'own' | undefined {
    const invoice = this.#invoices.get(id);
    if (invoice === undefined) return undefined;
    if (invoice.writtenBy === approvedBy) return 'own';
    const approved: Invoice = { ...invoice, status: 'approved', approvedBy };
    this.#invoices.set(id, approved);
    return approved;
  }
}
