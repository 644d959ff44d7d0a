import type { DynamicModule } from '@nestjs/common';
import type { Database } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { AccessRpc } from './access.rpc.js';
import { PrincipalCommands } from './assignment/principal.command.js';
import { FeatureCommands } from './catalog/feature.command.js';
import { PermissionCommands } from './catalog/permission.command.js';
import { RoleCommands } from './catalog/role.command.js';
import { FeatureRpc } from './feature.rpc.js';
import { GuaranteeRpc } from './guarantee.rpc.js';
import { PermissionRpc } from './permission.rpc.js';
import type { Guarantee } from './policy/guarantee.js';
import { HistoryStore } from './policy/history.store.js';
import type { Mutator } from './policy/mutate.command.js';
import type { Replica } from './policy/replica.store.js';
import { PrincipalRpc } from './principal.rpc.js';
import { RoleRpc } from './role.rpc.js';
import {
  DATABASE,
  FEATURE_COMMANDS,
  GUARANTEE,
  HISTORY,
  PERMISSION_COMMANDS,
  PRINCIPAL_COMMANDS,
  REPLICA,
  ROLE_COMMANDS,
} from './tokens.js';

export interface RbacParts {
  readonly database: Database;
  readonly replica: Replica;
  readonly mutator: Mutator;
  readonly guarantee: Guarantee;
}

export class RbacModule {
  static with({ database, replica, mutator, guarantee }: RbacParts): DynamicModule {
    return {
      module: RbacModule,
      controllers: [AccessRpc, FeatureRpc, GuaranteeRpc, PermissionRpc, PrincipalRpc, RoleRpc],
      providers: [
        { provide: DATABASE, useValue: database },
        { provide: REPLICA, useValue: replica },
        { provide: GUARANTEE, useValue: guarantee },
        { provide: HISTORY, useFactory: () => new HistoryStore({ database }) },
        { provide: FEATURE_COMMANDS, useFactory: () => new FeatureCommands({ mutator, newId }) },
        { provide: PERMISSION_COMMANDS, useFactory: () => new PermissionCommands({ mutator, newId }) },
        { provide: ROLE_COMMANDS, useFactory: () => new RoleCommands({ mutator, newId }) },
        { provide: PRINCIPAL_COMMANDS, useFactory: () => new PrincipalCommands({ mutator }) },
      ],
    };
  }
}
