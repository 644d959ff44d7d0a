import type { AppError, ErrorCode } from '@prime-nest/contracts/errors';
import type { GatewayEventDraft, GatewayEventType } from './record-event.js';

const recorded: Partial<Record<ErrorCode, GatewayEventType>> = {
  forbidden: 'gateway.access.denied.v1',
  escalation_refused: 'gateway.access.denied.v1',
  origin_forbidden: 'gateway.access.denied.v1',
  token_missing: 'gateway.token.rejected.v1',
  token_invalid: 'gateway.token.rejected.v1',
  token_expired: 'gateway.token.rejected.v1',
  session_revoked: 'gateway.token.rejected.v1',
  rate_limited: 'gateway.rate.limited.v1',
};

/**
 * The event of an answer that refuses a caller, undefined for any other answer: a mistake in a request refuses nobody,
 * and 503 is no refusal. Failed sign-ins are not here either; identity records those itself.
 */
export function refusalEvent(
  { code }: AppError,
  method: string,
  route: string | undefined,
): GatewayEventDraft | undefined {
  const type = recorded[code];
  if (type === undefined) return undefined;
  const resourceId = route === undefined ? 'unmatched' : `${method} ${route}`.slice(0, 128);
  return { type, outcome: 'denied', reasonCode: code, resourceId };
}
