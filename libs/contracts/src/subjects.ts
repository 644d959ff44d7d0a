import { auditRpc } from './audit.js';
import { gatewayNotify, identityNotify, identityRpc } from './identity.js';
import { rbacNotify, rbacRpc } from './rbac.js';

/** Every RPC subject of the system. What is not in here does not cross the bus as a request. */
export const rpc = { ...identityRpc, ...rbacRpc, ...auditRpc } as const;
export type Rpc = typeof rpc;

/** Every broadcast subject: fire and forget, every subscriber gets it, no promise rests on delivery. */
export const notify = { ...gatewayNotify, ...identityNotify, ...rbacNotify } as const;
