/**
 * The control plane of `mainstay up` in one process: API server, controllers and scheduler. The
 * last two are clients of the first, by direct calls, each with its own identity.
 */
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Logger } from '../../base/observe/logger.js';
import { EtcdClient } from '../../client/client.js';
import { ApiServer } from '../apiserver/server.js';
import type { ClusterEnv } from '../env.js';
import { startControllers } from '../controllers/manager.js';
import { startScheduler } from '../scheduler/scheduler.js';

export interface ControlPlaneConfig {
  /** Of the store's members, as EtcdClient takes them. */
  readonly storeEndpoints: readonly string[];
  /** Holds what src/cluster/pki makes. */
  readonly pkiDir: string;
  /** Address at which the API server listens and is reached. */
  readonly address: string;
  readonly port: number;
  /** As 10.96.0.0/16. */
  readonly serviceCidr: string;
}

export interface ControlPlane {
  /** Serves a connection that was accepted elsewhere. */
  accept(connection: Socket): void;
  stop(): Promise<void>;
}

/** Longest time that requests have to finish when the control plane stops. */
const STOP_GRACE_MS = 3000;

/** Resolves when requests are answered. Rejects with the operating system's error when the address cannot be used. */
export async function startControlPlane(
  config: ControlPlaneConfig,
  { env, log }: { readonly env: ClusterEnv; readonly log: Logger },
): Promise<ControlPlane> {
  const pem = (name: string): Promise<string> => readFile(join(config.pkiDir, name), 'utf8');
  const [ca, serviceAccountKey] = [await pem('ca.crt'), await pem('sa.key')];
  const pair = async (name: string): Promise<{ cert: string; key: string }> => ({
    cert: await pem(`${name}.crt`),
    key: await pem(`${name}.key`),
  });
  const store = new EtcdClient(config.storeEndpoints);
  const apiServer = new ApiServer({
    store,
    env,
    log: log.child({ component: 'kube-apiserver' }),
    tls: { ...(await pair('apiserver')), clientCa: ca },
    kubeletTls: { ...(await pair('apiserver-kubelet-client')), ca },
    serviceAccountKey,
    serviceCidr: config.serviceCidr,
    advertiseAddress: config.address,
    port: config.port,
  });
  await apiServer.listen(config.address);
  const scheduler = startScheduler({
    client: apiServer.client(
      { commonName: 'system:kube-scheduler', organizations: [] },
      'kube-scheduler',
    ),
    env,
    log: log.child({ component: 'kube-scheduler' }),
    identity: undefined,
  });
  const controllers = startControllers({
    client: apiServer.client(
      { commonName: 'system:kube-controller-manager', organizations: [] },
      'kube-controller-manager',
    ),
    env,
    log: log.child({ component: 'kube-controller-manager' }),
    rootCa: ca,
  });
  return {
    accept: (connection) => apiServer.accept(connection),
    stop: async () => {
      await controllers.stop();
      await scheduler.stop();
      await apiServer.stop(STOP_GRACE_MS);
      store.close();
    },
  };
}
