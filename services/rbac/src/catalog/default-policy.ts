import type { SeedPolicy } from './policy-file.js';

export const administratorRole = 'Super Admin';

/** What a fresh installation starts with. */
export const defaultPolicy: SeedPolicy = {
  features: [
    {
      name: 'rbac',
      description: 'Roles, permissions and features',
      actions: {
        view: 'See roles, permissions, features and explanations',
        create: 'Create roles, permissions and features',
        edit: 'Change roles, permissions and features',
        delete: 'Delete roles, permissions and features',
        assign_permissions: 'Replace the permissions of a role',
        evaluate: 'Ask for decisions about other principals',
      },
    },
    {
      name: 'users',
      description: 'Accounts and their roles',
      actions: {
        view: 'See accounts and their sessions',
        create: 'Create accounts',
        edit: 'Change, activate, deactivate and unlock accounts, end their sessions',
        delete: 'Delete accounts',
        assign_roles: 'Replace the roles of an account',
      },
    },
    {
      name: 'audit',
      description: 'The audit log',
      actions: { view: 'Search the audit log', export: 'Export the audit log' },
    },
  ],
  roles: [
    { name: administratorRole, description: 'May do everything, new permissions included', grants: 'all' },
    {
      name: 'Manager',
      description: 'Manages accounts and gives out roles within its own rights',
      grants: [
        'users:view',
        'users:create',
        'users:edit',
        'users:assign_roles',
        'rbac:view',
        'rbac:evaluate',
        'audit:view',
      ],
    },
    {
      name: 'Viewer',
      description: 'May look at everything and change nothing',
      grants: ['users:view', 'rbac:view', 'audit:view'],
    },
  ],
  grants: {},
};
