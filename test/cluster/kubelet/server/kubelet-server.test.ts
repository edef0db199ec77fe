import { expect } from 'chai';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import { silentLogger } from '../../../../src/base/observe/logger.js';
import { KUBELET_DEFAULTS } from '../../../../src/cluster/kubelet/config.js';
import { Pleg } from '../../../../src/cluster/kubelet/pods/pleg.js';
import type { KubeletServer } from '../../../../src/cluster/kubelet/server/kubelet-server.js';
import { startServer } from '../../../../src/cluster/kubelet/server/kubelet-server.js';
import { NodeView } from '../../../../src/cluster/kubelet/server/node-view.js';
import type { KeyPair } from '../../../../src/cluster/pki/issuer.js';
import { issueAuthority, issueCertificate } from '../../../../src/cluster/pki/issuer.js';
import type { Session } from '../../../../src/cluster/runtime/runtime.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import type { Pod } from '../../../../src/gen/kube-core-v1.js';
import { FakeRuntime } from '../../../support/fake-runtime.js';
import { until } from '../../../support/until.js';
import { containerConfig } from '../../runtime/container-config.js';
import { sandboxConfig } from '../../runtime/sandbox-config.js';

const API_SERVER = 'kube-apiserver-kubelet-client';
const LABELS = {
  'io.kubernetes.pod.name': 'web',
  'io.kubernetes.pod.namespace': 'default',
  'io.kubernetes.pod.uid': 'uid-1',
};
const POD: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default', uid: 'uid-1' },
  spec: { containers: [{ name: 'app' }, { name: 'late' }] },
  status: {
    containerStatuses: [
      {
        name: 'late',
        ready: false,
        restartCount: 0,
        image: '',
        imageID: '',
        state: { waiting: { reason: 'ImagePullBackOff' } },
      },
    ],
  },
};

interface Answer {
  readonly status: number;
  readonly body: string;
}

describe('kubelet: API', () => {
  const env = systemClusterEnv();
  let directory: string;
  let authority: KeyPair;
  let allowed: KeyPair;
  let server: KubeletServer;
  let runtime: FakeRuntime;

  const issue = (commonName: string, from = authority): Promise<KeyPair> => {
    const nowMs = env.wallMs();
    const names = { organizations: [], names: ['localhost'], ips: ['127.0.0.1'] };
    const validity = { fromMs: nowMs - 60_000, untilMs: nowMs + 3_600_000 };
    const usages = [commonName === 'node' ? ('server' as const) : ('client' as const)];
    return issueCertificate(from, { commonName, ...names, usages }, validity);
  };

  before(async () => {
    const nowMs = env.wallMs();
    const validity = { fromMs: nowMs - 60_000, untilMs: nowMs + 3_600_000 };
    authority = await issueAuthority('kubernetes', validity);
    allowed = await issue(API_SERVER);
  });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mainstay-kubelet-api-'));
    runtime = new FakeRuntime(env);
    const sandboxId = await runtime.runPodSandbox(
      sandboxConfig({ uid: 'uid-1', logDirectory: directory, labels: LABELS }),
    );
    const labels = { ...LABELS, 'io.kubernetes.container.name': 'app' };
    for (const attempt of [0, 1]) {
      const logPath = `app/${attempt}.log`;
      const config = containerConfig({ attempt, imageId: 'sha256:1', labels, logPath });
      const id = await runtime.createContainer(sandboxId, config);
      await runtime.startContainer(id);
      if (attempt === 0) runtime.exit(runtime.container('app'), 1);
    }
    await writeLog('app/0.log', ['2026-01-01T00:00:00.000000001Z stdout F before']);
    await writeLog('app/1.log', [
      '2026-01-01T00:00:01.000000001Z stdout F one',
      '2026-01-01T00:00:02.000000001Z stderr P tw',
      '2026-01-01T00:00:02.000000002Z stderr F o',
      '2026-01-01T00:00:03.000000001Z stdout F three',
    ]);
    const pleg = new Pleg({
      env,
      log: silentLogger,
      runtime,
      onChange: () => undefined,
      readMessage: () => Promise.resolve(''),
    });
    await pleg.fresh();
    const { certificate, key: privateKey } = await issue('node');
    const config = {
      ...KUBELET_DEFAULTS,
      nodeName: 'node-a',
      nodeIps: ['127.0.0.1'],
      version: 'v1.36.3',
      rootDirectory: directory,
      podLogsDirectory: directory,
    };
    server = await startServer(
      {
        env,
        log: silentLogger,
        runtime,
        host: {
          facts: () => Promise.reject(new Error('not asked for')),
          pressure: () => Promise.reject(new Error('not asked for')),
          usage: () =>
            Promise.resolve({
              cpuNs: 7e9,
              memoryWorkingSetBytes: 1024,
              diskUsedBytes: 10,
              diskAvailableBytes: 90,
            }),
        },
        view: new NodeView(() => [POD], pleg),
        config,
        problem: () => '',
      },
      {
        address: '127.0.0.1',
        port: 0,
        certificate,
        privateKey,
        clientCa: authority.certificate,
        allowedClients: [API_SERVER],
      },
    );
  });

  afterEach(async () => {
    await server.close();
    await rm(directory, { recursive: true, force: true });
  });

  async function writeLog(name: string, lines: string[]): Promise<void> {
    const path = join(directory, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `${lines.join('\n')}\n`, { flag: 'a' });
  }

  function get(path: string, client: KeyPair | undefined = allowed): Promise<Answer> {
    const identity = client === undefined ? {} : { cert: client.certificate, key: client.key };
    const ca = authority.certificate;
    return new Promise((resolve, reject) => {
      const url = `https://127.0.0.1:${server.port}${path}`;
      const request = https.get(url, { ...identity, ca, agent: false }, (response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => (body += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
      request.on('error', reject);
    });
  }

  function connect(
    path: string,
    protocol: string,
    client: KeyPair | undefined = allowed,
  ): WebSocket {
    const identity = client === undefined ? {} : { cert: client.certificate, key: client.key };
    const options = { ...identity, ca: authority.certificate, headers: {} };
    const url = `wss://127.0.0.1:${server.port}${path}`;
    if (!protocol.includes('/')) return new WebSocket(url, [protocol], options);
    // The library refuses the name of the tunnel; it is put in afterwards.
    return new WebSocket(url, [], {
      ...options,
      headers: { 'Sec-WebSocket-Protocol': protocol },
    });
  }

  it('answers nobody but the API server', async () => {
    const anonymous = await new Promise<Answer>((resolve, reject) => {
      const options = { ca: authority.certificate, agent: false };
      https
        .get(`https://127.0.0.1:${server.port}/pods`, options, (response) => {
          response.resume();
          resolve({ status: response.statusCode ?? 0, body: '' });
        })
        .on('error', reject);
    });
    expect(anonymous.status).to.equal(401);
    const other = await issue('system:node:node-b');
    const refused = await get('/pods', other);
    expect(refused.status).to.equal(403);
    expect(refused.body).to.equal(
      'Forbidden (user=system:node:node-b, verb=get, resource=nodes, subresource=proxy)\n',
    );
    const nowMs = env.wallMs();
    const validity = { fromMs: nowMs - 1000, untilMs: nowMs + 60_000 };
    const forged = await issue(API_SERVER, await issueAuthority('kubernetes', validity));
    expect((await get('/pods', forged)).status).to.equal(401);
    const socket = connect('/exec/default/web/app?command=id&output=1', 'v5.channel.k8s.io', other);
    const code = await new Promise((resolve) =>
      socket.on('unexpected-response', (_, response) => resolve(response.statusCode)),
    );
    expect(code).to.equal(403);
  });

  it('shows pods, settings, usage and metrics', async () => {
    expect((await get('/healthz')).body).to.equal('ok');
    expect(JSON.parse((await get('/pods')).body)).to.deep.include({ items: [POD] });
    expect((await get('/runningpods/')).body).to.contain('"name":"app"');
    expect((await get('/configz')).body)
      .to.contain('"maxPods":110')
      .and.not.contain('PRIVATE');
    const summary = JSON.parse((await get('/stats/summary')).body) as {
      pods: { containers: { memory: { workingSetBytes: number } }[] }[];
    };
    expect(summary.pods[0]?.containers[0]?.memory.workingSetBytes).to.equal(4096);
    expect((await get('/metrics/resource')).body).to.contain(
      'container_cpu_usage_seconds_total{container="app",namespace="default",pod="web"} 1.5',
    );
    expect((await get('/metrics')).body).to.contain(
      'kubelet_running_containers{container_state="running"} 1',
    );
    expect((await get('/nothing')).status).to.equal(404);
    expect((await get('/%zz')).status).to.equal(400);
  });

  const LOG = '/containerLogs/default/web/app';
  const logs: [string, string][] = [
    ['', 'one\ntwo\nthree\n'],
    ['?tailLines=1', 'three\n'],
    ['?tailLines=0', ''],
    ['?tailLines=99', 'one\ntwo\nthree\n'],
    ['?previous=true', 'before\n'],
    ['?limitBytes=5', 'one\nt'],
    ['?sinceTime=2026-01-01T00:00:03Z', 'three\n'],
    ['?sinceSeconds=5', ''],
    ['?tailLines=1&timestamps=true', '2026-01-01T00:00:03.000000001Z three\n'],
    ['?stream=Stderr', 'two\n'],
  ];
  for (const [query, text] of logs) {
    it(`reads a log with ${query === '' ? 'no option' : query.slice(1)}`, async () => {
      expect(await get(`${LOG}${query}`)).to.deep.equal({ status: 200, body: text });
    });
  }

  const badLogs: [string, number, string][] = [
    ['/containerLogs/default/none/app', 404, 'pod "none" not found'],
    ['/containerLogs/default/web/none', 404, 'container "none" not found in pod "web"'],
    [
      '/containerLogs/default/web/late',
      400,
      'container "late" in pod "web" is waiting to start: ImagePullBackOff',
    ],
    [
      '/containerLogs/default/web/late?previous=true',
      400,
      'previous terminated container "late" in pod "web" not found',
    ],
    [`${LOG}?tailLines=-1`, 400, 'tailLines must be an integer greater than or equal to 0'],
    [`${LOG}?limitBytes=0`, 400, 'limitBytes must be an integer greater than 0'],
    [`${LOG}?sinceTime=noon`, 400, 'sinceTime noon is no RFC 3339 time'],
  ];
  for (const [path, status, message] of badLogs) {
    it(`answers ${status} to ${path}`, async () => {
      expect(await get(path)).to.deep.equal({ status, body: `${message}\n` });
    });
  }

  it('follows a log until the container ends', async () => {
    let body = '';
    let isOver = false;
    const identity = { cert: allowed.certificate, key: allowed.key, ca: authority.certificate };
    const url = `https://127.0.0.1:${server.port}${LOG}?follow=true&tailLines=1`;
    https.get(url, { ...identity, agent: false }, (response) => {
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => (isOver = true));
    });
    await until(() => body === 'three\n');
    await writeLog('app/1.log', ['2026-01-01T00:00:04.000000001Z stdout F four']);
    await until(() => body === 'three\nfour\n');
    await rm(join(directory, 'app/1.log'));
    await writeLog('app/1.log', ['2026-01-01T00:00:05.000000001Z stdout F five']);
    await until(() => body.endsWith('five\n'));
    runtime.exit(runtime.container('app'), 0);
    await writeLog('app/1.log', ['2026-01-01T00:00:06.000000001Z stdout F last']);
    await until(() => isOver);
    expect(body).to.equal('three\nfour\nfive\nlast\n');
  });

  for (const protocol of ['v5.channel.k8s.io', 'v4.channel.k8s.io']) {
    it(`runs a command over ${protocol}`, async () => {
      const stdin = new PassThrough();
      const sizes: unknown[] = [];
      let asked: unknown;
      runtime.onSession = (command, options): Session => {
        asked = { command, options };
        const stdout = new PassThrough();
        stdin.on('data', (chunk: Buffer) => stdout.write(`echo ${chunk.toString()}`));
        const ended = new Promise<number>((resolve) => {
          stdin.on('end', () => {
            stdout.end();
            resolve(3);
          });
        });
        const stderr = new PassThrough();
        stderr.end('oops');
        return {
          stdin,
          stdout,
          stderr,
          resize: (size) => sizes.push(size),
          ended,
          close: () => undefined,
        };
      };
      const path = '/exec/default/web/app?command=sh&command=-c&input=1&output=1&error=1';
      const socket = connect(path, protocol);
      const received = ['', '', '', ''];
      socket.on('message', (data: Buffer) => {
        received[data[0] ?? 9] += data.subarray(1).toString();
      });
      await new Promise((resolve) => socket.on('open', resolve));
      expect(socket.protocol).to.equal(protocol);
      socket.send(Buffer.from('\u0004{"Width":80,"Height":24}\n'));
      socket.send(Buffer.from('\u0000hello'));
      await until(() => received[1] === 'echo hello');
      if (protocol.startsWith('v5')) socket.send(Buffer.from([255, 0]));
      else stdin.end();
      await new Promise((resolve) => socket.on('close', resolve));
      expect(asked).to.deep.equal({
        command: ['sh', '-c'],
        options: { stdin: true, tty: false },
      });
      expect(received[2]).to.equal('oops');
      expect(sizes).to.deep.equal([{ width: 80, height: 24 }]);
      expect(JSON.parse(received[3] ?? '')).to.deep.include({
        status: 'Failure',
        reason: 'NonZeroExitCode',
        message: 'command terminated with non-zero exit code: exit status 3',
      });
    });
  }

  it('ends a command whose client goes away', async () => {
    let isClosed = false;
    runtime.onSession = (): Session => ({
      stdin: undefined,
      stdout: new PassThrough(),
      stderr: undefined,
      resize: () => undefined,
      ended: new Promise(() => undefined),
      close: () => {
        isClosed = true;
      },
    });
    const socket = connect('/attach/default/web/uid-1/app?output=1', 'v5.channel.k8s.io');
    await new Promise((resolve) => socket.on('open', resolve));
    socket.terminate();
    await until(() => isClosed);
  });

  it('tells what went wrong with a command on the error channel', async () => {
    const socket = connect('/exec/default/web/app?command=x&output=1', 'v5.channel.k8s.io');
    const status = await new Promise<string>((resolve) =>
      socket.on('message', (data: Buffer) => resolve(data.toString().slice(1))),
    );
    expect(JSON.parse(status)).to.deep.include({
      status: 'Failure',
      message: 'Internal error occurred: no session',
    });
  });

  const refused: [string, string, number][] = [
    ['/exec/default/web/app?output=1', 'v5.channel.k8s.io', 400],
    ['/exec/default/web/app?command=x', 'v5.channel.k8s.io', 400],
    ['/exec/default/web/late?command=x&output=1', 'v5.channel.k8s.io', 500],
    ['/exec/default/none/app?command=x&output=1', 'v5.channel.k8s.io', 404],
    ['/exec/default/web/app?command=x&output=1', 'v1.channel.k8s.io', 400],
    ['/portForward/default/web', 'v5.channel.k8s.io', 400],
  ];
  for (const [path, protocol, code] of refused) {
    it(`refuses ${path} over ${protocol} with ${code}`, async () => {
      const socket = connect(path, protocol);
      socket.on('error', () => undefined);
      const status = await new Promise((resolve) =>
        socket.on('unexpected-response', (_, response) => resolve(response.statusCode)),
      );
      expect(status).to.equal(code);
    });
  }

  it('accepts the tunnel of port forwarding by its name', async () => {
    const ports: number[] = [];
    runtime.onForward = (port): Duplex => {
      ports.push(port);
      return new PassThrough();
    };
    const name = 'SPDY/3.1+portforward.k8s.io';
    const answer = await new Promise<string>((resolve, reject) => {
      const request = https.request({
        host: '127.0.0.1',
        port: server.port,
        path: '/portForward/default/web',
        agent: false,
        ca: authority.certificate,
        cert: allowed.certificate,
        key: allowed.key,
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
          'sec-websocket-protocol': name,
        },
      });
      request.on('error', reject);
      request.on('upgrade', (response, socket) => {
        socket.destroy();
        resolve(response.headers['sec-websocket-protocol'] ?? '');
      });
      request.end();
    });
    expect(answer).to.equal(name);
  });

  for (const [path, code, text] of [
    [
      '/attach/default/web/app?output=1',
      400,
      'unable to upgrade to SPDY/3.1: only websocket is served',
    ],
    ['/attach/default/web/late?output=1', 500, 'container late not found in pod web_default'],
    ['/exec/default/web/late?command=x&output=1', 500, 'container not found ("late")'],
    ['/portForward/default/web', 400, 'unable to upgrade to SPDY/3.1: only websocket is served'],
  ] as const) {
    it(`tells an older client about ${path}`, async () => {
      const answer = await new Promise<Answer>((resolve, reject) => {
        const request = https.request({
          host: '127.0.0.1',
          port: server.port,
          method: 'POST',
          path,
          agent: false,
          ca: authority.certificate,
          cert: allowed.certificate,
          key: allowed.key,
          headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1' },
        });
        request.on('error', reject);
        request.on('response', (response) => {
          const { statusCode: status = 0 } = response;
          let body = '';
          response.on('data', (chunk: Buffer) => (body += chunk.toString()));
          response.on('end', () => resolve({ status, body }));
        });
        request.end();
      });
      expect(answer.status).to.equal(code);
      expect(answer.body).to.contain(text);
    });
  }
});
