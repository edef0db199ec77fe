import { encodeAuthStatusResponse } from '../../gen/rpc.js';
import type { Method } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import type { Roles } from '../contract/roles.js';

/** The revision of an authentication store nothing was ever changed in. */
export const DISABLED_REVISION = 1;

/** etcdserverpb.Auth as a server with authentication switched off answers it. */
export function authService(roles: Pick<Roles, 'headers' | 'reads'>): [string, Method][] {
  return [
    [
      '/etcdserverpb.Auth/AuthStatus',
      {
        kind: 'unary',
        handle: (_request, call) => {
          roles.reads.linearizable((error) => {
            if (error !== null) return call.fail(error);
            call.reply(
              encodeAuthStatusResponse({
                header: roles.headers.fields(),
                authRevision: DISABLED_REVISION,
              }),
            );
          });
        },
      },
    ],
    [
      '/etcdserverpb.Auth/Authenticate',
      { kind: 'unary', handle: (_request, call) => call.fail(errors.authNotEnabled) },
    ],
  ];
}
