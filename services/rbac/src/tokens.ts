/** What the module hands to the edge, by name: no class knows how another one is made. */
export const REPLICA = Symbol('replica');
export const HISTORY = Symbol('history');
export const DATABASE = Symbol('database');
export const GUARANTEE = Symbol('guarantee');
export const FEATURE_COMMANDS = Symbol('feature commands');
export const PERMISSION_COMMANDS = Symbol('permission commands');
export const ROLE_COMMANDS = Symbol('role commands');
export const PRINCIPAL_COMMANDS = Symbol('principal commands');
