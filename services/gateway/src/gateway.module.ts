import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import type { AssertionKey } from '@prime-nest/contracts/assertion';
import type { KeySet } from './access/key-set.js';
import type { Calls } from './calls.js';
import type { GatewayChecks } from './health-checks.js';
import { AccessHttp } from './routes/access.http.js';
import { AssertionJwksHttp } from './routes/assertion-jwks.http.js';
import { AuditHttp } from './routes/audit.http.js';
import { AuthHttp } from './routes/auth.http.js';
import { FeaturesHttp } from './routes/features.http.js';
import { HealthHttp } from './routes/health.http.js';
import { JwksHttp } from './routes/jwks.http.js';
import { PermissionsHttp } from './routes/permissions.http.js';
import { RolesHttp } from './routes/roles.http.js';
import { UsersHttp } from './routes/users.http.js';
import { ASSERTION_KEYS, CALLS, CHECKS, KEYS, TRACE_URL_TEMPLATE } from './tokens.js';

/** What the routes need from outside. */
export interface RouteParts {
  readonly calls: Calls;
  readonly keys: KeySet;
  readonly checks: Pick<GatewayChecks, 'readiness'>;
  /** Where a person sees a trace, with `{traceId}` in it. */
  readonly traceUrlTemplate?: string | undefined;
  /** The public keys of the assertions that requests to upstreams carry. */
  readonly assertionKeys?: readonly AssertionKey[];
}

export const controllers = [
  AuthHttp,
  UsersHttp,
  RolesHttp,
  FeaturesHttp,
  PermissionsHttp,
  AccessHttp,
  AuditHttp,
  JwksHttp,
  AssertionJwksHttp,
  HealthHttp,
];

/** Paths outside the prefix: what balancers, kubelets and token verifiers expect at the root. */
export const rootPaths = [
  '.well-known/jwks.json',
  '.well-known/assertion-jwks.json',
  'health/liveness',
  'health/readiness',
];

@Module({})
export class GatewayModule {
  /** `more`: controllers beside our own, each of which has to declare the access of its routes as ours do. */
  static with(parts: RouteParts, more: NonNullable<DynamicModule['controllers']> = []): DynamicModule {
    return {
      module: GatewayModule,
      imports: [DiscoveryModule],
      controllers: [...controllers, ...more],
      providers: [
        { provide: CALLS, useValue: parts.calls },
        { provide: KEYS, useValue: parts.keys },
        { provide: CHECKS, useValue: parts.checks },
        { provide: ASSERTION_KEYS, useValue: parts.assertionKeys ?? [] },
        { provide: TRACE_URL_TEMPLATE, useValue: parts.traceUrlTemplate },
      ],
    };
  }
}
