import { decodeHealthCheckRequest, encodeHealthCheckResponse } from '../../gen/health.js';
import type { Method } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import { refusingMalformed } from './decode.js';

const SERVING = 1;
const SERVICE_UNKNOWN = 3;

/**
 * grpc.health.v1.Health as etcd serves it: one unnamed service that is up while the process serves at all. Names are
 * unknown to Check and stay SERVICE_UNKNOWN in Watch.
 */
export function healthService(): [string, Method][] {
  return [
    [
      '/grpc.health.v1.Health/Check',
      {
        kind: 'unary',
        handle: (request, call) => {
          if (decodeHealthCheckRequest(request).service !== '') {
            return call.fail(errors.unknownHealthService);
          }
          call.reply(encodeHealthCheckResponse({ status: SERVING }));
        },
      },
    ],
    [
      '/grpc.health.v1.Health/Watch',
      {
        kind: 'stream',
        streamType: 'server_stream',
        handle: (call) => {
          const answer = (request: Uint8Array): void => {
            const known = decodeHealthCheckRequest(request).service === '';
            call.write(encodeHealthCheckResponse({ status: known ? SERVING : SERVICE_UNKNOWN }));
          };
          call.onMessage((request) => {
            refusingMalformed(
              () => answer(request),
              (error) => call.fail(error),
            );
          });
        },
      },
    ],
  ];
}
