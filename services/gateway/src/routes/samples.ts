import { bootstrapAdministratorId } from '@prime-nest/contracts/ids';

/** Values for the examples of the API document. None of them opens anything. */
const instant = '2026-01-31T09:30:00.000Z';

export const ids = {
  user: '0193b2a8-5c1e-7c3a-9d64-2f8a1b7c9e01',
  session: '0193b2a8-6d2f-7b4b-8e75-3a9b2c8d0f12',
  role: '0193b2a8-7e30-7a5c-9f86-4bac3d9e1a23',
  feature: '0193b2a8-8f41-796d-8097-5cbd4eaf2b34',
  permission: '0193b2a8-9052-787e-91a8-6dce5fb03c45',
  event: '0193b2a8-a163-778f-82b9-7edf60c14d56',
};

export const password = 'a long and private phrase';

export const account = {
  id: ids.user,
  email: 'ada@example.com',
  name: 'Ada',
  isActive: true,
  lockedUntil: null,
  createdAt: instant,
  updatedAt: instant,
};

export const tokens = {
  access_token: 'header.claims.signature',
  token_type: 'Bearer' as const,
  expires_in: 900,
  refresh_token: 'an-opaque-refresh-token',
  refresh_expires_in: 604_800,
  session_id: ids.session,
};

export const session = {
  id: ids.session,
  ip: '203.0.113.7',
  userAgent: 'curl/8.5.0',
  createdAt: instant,
  lastUsedAt: instant,
  expiresAt: '2026-02-07T09:30:00.000Z',
};

export const roleOfUser = { id: ids.role, name: 'Support', isActive: true };

export const role = {
  id: ids.role,
  name: 'Support',
  description: 'Helps users who cannot sign in',
  isActive: true,
  receivesNewPermissions: false,
  version: 1,
  createdAt: instant,
  updatedAt: instant,
};

export const feature = {
  id: ids.feature,
  name: 'invoices',
  description: 'Billing documents',
  isActive: true,
  version: 1,
  createdAt: instant,
  updatedAt: instant,
};

export const permission = {
  id: ids.permission,
  name: 'invoices:view',
  featureId: ids.feature,
  action: 'view',
  description: 'Read invoices',
  version: 1,
  createdAt: instant,
  updatedAt: instant,
};

export const logEntry = {
  index: 41,
  id: ids.event,
  source: 'rbac',
  type: 'rbac.role.created.v1',
  occurredAt: instant,
  receivedAt: '2026-01-31T09:30:00.120Z',
  actor: { type: 'user', id: bootstrapAdministratorId, sessionId: ids.session },
  action: 'role.create',
  resource: { type: 'role', id: ids.role },
  outcome: 'success',
  change: { after: { name: 'Support' } },
  correlationId: '0193b2a8-b274-76a0-93ca-8fe071d25e67',
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  ip: '203.0.113.7',
};
