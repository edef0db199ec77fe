import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, get, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { pod as podKind } from '../../../../src/cluster/api/kinds/core/pod.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import { ApiError } from '../../../../src/cluster/api/status.js';
import { render, renderError } from '../../../../src/cluster/apiserver/answer/render.js';
import { RequestMetrics } from '../../../../src/cluster/apiserver/http/request-metrics.js';
import { HttpServer } from '../../../../src/cluster/apiserver/http/server.js';
import type { SubresourceHandler } from '../../../../src/cluster/apiserver/registry/resource-step.js';
import { connectHandler } from '../../../../src/cluster/apiserver/subresources/connect.js';
import { logHandler } from '../../../../src/cluster/apiserver/subresources/log.js';
import {
  Channel,
  channelMessage,
  exitStatus,
  statusMessage,
} from '../../../../src/cluster/streams/channel-protocol.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import { until } from '../../../support/until.js';
import { makeAuthority, type KeyAndCert, type TestAuthority } from '../../support/certificates.js';
import { duplexPair } from '../../streams/duplex-pair.js';
import { exchangeOf, NOBODY } from '../exchange.js';
import { sendHttp1, type Target } from '../http/client.js';
import { PodFixture } from './pod-fixture.js';

const TUNNEL = 'SPDY/3.1+portforward.k8s.io';

describe('cluster/apiserver/subresources: streams of pods', () => {
  let authority: TestAuthority;
  let kubelet: Server;
  let kubeletPort: number;
  let server: HttpServer;
  let target: Target;
  let objects: PodFixture;
  let answerLog: (request: IncomingMessage, response: ServerResponse) => void;
  /** Requests that the kubelet got: method, path, name of the client, credentials. */
  const asked: string[] = [];
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: ([first]) => first ?? false,
  });

  function note(request: IncomingMessage): void {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate();
    const who = (request.socket as TLSSocket).authorized ? subject.CN : 'nobody';
    asked.push([request.method, request.url, who, request.headers.authorization ?? '-'].join(' '));
  }

  before(async () => {
    authority = await makeAuthority();
    kubelet = createServer(
      {
        ...(await authority.server()),
        ca: authority.ca,
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) => {
        note(request);
        answerLog(request, response);
      },
    );
    kubelet.on('upgrade', (request, socket, head) => {
      note(request);
      if (request.headers.upgrade !== 'websocket') {
        socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nonly websocket is served');
        return;
      }
      sockets.handleUpgrade(request, socket, head, (webSocket) => echo(webSocket));
    });
    kubelet.listen(0, '127.0.0.1');
    await once(kubelet, 'listening');
    kubeletPort = (kubelet.address() as AddressInfo).port;
    await startServer(await authority.server(), await authority.client('kube-apiserver'));
  });

  after(async () => {
    await server.stop(0);
    kubelet.closeAllConnections();
    kubelet.close();
  });

  beforeEach(() => {
    asked.length = 0;
    objects = new PodFixture();
    objects.addNode('n', '127.0.0.1', kubeletPort);
    objects.addPod('p', 'n', ['c']);
    objects.addPod('two', 'n', ['a', 'b'], { initContainers: [{ name: 'i' }] });
    objects.addPod('waiting', '', ['c']);
    objects.addPod('lost', 'gone', ['c']);
    objects.addNode('off', '127.0.0.1', 1);
    objects.addPod('unreachable', 'off', ['c']);
  });

  async function startServer(tls: KeyAndCert, client: KeyAndCert): Promise<void> {
    const env = systemClusterEnv();
    const kubeletTls = { ...client, ca: authority.ca };
    const found = {
      pod: (namespace: string, name: string) => objects.pod(namespace, name),
      node: (name: string) => objects.node(name),
    };
    const handlers: Readonly<Record<string, SubresourceHandler>> = {
      log: logHandler(found, kubeletTls),
      exec: connectHandler('exec', found, kubeletTls),
      attach: connectHandler('attach', found, kubeletTls),
      portforward: connectHandler('portforward', found, kubeletTls),
    };
    server = new HttpServer({
      env,
      tls: { ...tls, clientCa: authority.ca },
      metrics: new RequestMetrics(() => true),
      onMistake: (error) => {
        throw error;
      },
      handle: async (request, info) => {
        const exchange = { request, info, user: NOBODY, kind: undefined, warnings: [] };
        try {
          const answer = await handlers[info.subresource]?.(exchange, podKind as unknown as Kind);
          if (answer === undefined || answer.type === 'upgraded') return undefined;
          return await render(answer, request, env);
        } catch (error) {
          if (error instanceof ApiError) return renderError(error, request);
          throw error;
        }
      },
    });
    target = { port: await server.listen('127.0.0.1', 0), ca: authority.ca };
  }

  /** A command that repeats its input on stdout and ends with it. */
  function echo(webSocket: WebSocket): void {
    webSocket.on('message', (data: Buffer) => {
      if (webSocket.protocol === TUNNEL) webSocket.send(data);
      else if (data[0] === Channel.stdin)
        webSocket.send(channelMessage(Channel.stdout, data.subarray(1)));
      else {
        webSocket.send(statusMessage(exitStatus(3)));
        webSocket.close(1000);
      }
    });
  }

  async function log(name: string, query = ''): Promise<[number, string]> {
    const path = `/api/v1/namespaces/d/pods/${name}/log${query}`;
    const headers = { authorization: 'Bearer secret' };
    const { status, body } = await sendHttp1(target, { path, headers });
    const text = body.toString();
    if (status === 200) return [status, text];
    return [status, (JSON.parse(text) as { message: string }).message];
  }

  describe('log', () => {
    it('is the text of the kubelet, asked with the options in its own words', async () => {
      answerLog = (_request, response) => void response.end('line 1\nline 2\n');
      expect(await log('p')).to.deep.equal([200, 'line 1\nline 2\n']);
      await log(
        'two',
        '?container=b&follow=true&previous=false&tailLines=5&timestamps=1&sinceTime=2026-01-01T01%3A00%3A00%2B01%3A00&limitBytes=100&stream=All&pretty=x',
      );
      await log('two', '?container=i&sinceSeconds=3600');
      expect(asked).to.deep.equal([
        'GET /containerLogs/d/p/c kube-apiserver -',
        'GET /containerLogs/d/two/b?follow=true&limitBytes=100&sinceTime=2026-01-01T00%3A00%3A00Z&stream=All&tailLines=5&timestamps=true kube-apiserver -',
        'GET /containerLogs/d/two/i?sinceSeconds=3600 kube-apiserver -',
      ]);
    });

    it('comes line by line, and ends at the kubelet when the client goes', async () => {
      let isOver = false;
      answerLog = (_request, response) => {
        response.write('first\n');
        response.on('close', () => (isOver = true));
      };
      const client = get({
        ...{ host: '127.0.0.1', port: target.port, ca: target.ca, agent: false },
        path: '/api/v1/namespaces/d/pods/p/log?follow=true',
      });
      client.on('error', () => undefined);
      const [response] = (await once(client, 'response')) as [IncomingMessage];
      response.on('error', () => undefined);
      const [chunk] = (await once(response, 'data')) as [Buffer];
      expect(chunk.toString()).to.equal('first\n');
      client.destroy();
      await until(() => isOver);
    });

    it('is no longer waited for when the client goes before it comes', async () => {
      let isOver = false;
      answerLog = (_request, response) => void response.on('close', () => (isOver = true));
      const client = get({
        ...{ host: '127.0.0.1', port: target.port, ca: target.ca, agent: false },
        path: '/api/v1/namespaces/d/pods/p/log',
      });
      client.on('error', () => undefined);
      await until(() => asked.length === 1);
      client.destroy();
      await until(() => isOver);
    });

    it('is empty for a pod that has no node yet', async () => {
      expect(await log('waiting')).to.deep.equal([200, '']);
      expect(asked).to.deep.equal([]);
    });

    it('says what the kubelet says when it refuses', async () => {
      const refuse = (status: number, text: string): void => {
        answerLog = (_request, response) => {
          response.statusCode = status;
          response.end(text);
        };
      };
      refuse(400, 'container "c" in pod "p" is waiting to start: ContainerCreating\n');
      expect(await log('p')).to.deep.equal([
        400,
        'container "c" in pod "p" is waiting to start: ContainerCreating',
      ]);
      refuse(404, 'pod not found');
      expect(await log('p')).to.deep.equal([
        404,
        'the server could not find the requested resource ( pods/log p)',
      ]);
      refuse(500, 'disk on fire');
      expect(await log('p')).to.deep.equal([500, 'Internal error occurred: disk on fire']);
      refuse(503, 'later');
      expect((await log('p'))[0]).to.equal(503);
    });

    it('refuses what cannot be answered, in the words of the real server', async () => {
      expect(await log('none')).to.deep.equal([404, 'pods "none" not found']);
      expect(await log('two')).to.deep.equal([
        400,
        'a container name must be specified for pod two, choose one of: [a b] or one of the init containers: [i]',
      ]);
      expect(await log('p', '?container=nope')).to.deep.equal([
        400,
        'container nope is not valid for pod p',
      ]);
      expect(await log('lost')).to.deep.equal([404, 'nodes "gone" not found']);
      expect(await log('unreachable', '?tailLines=1')).to.deep.equal([
        500,
        'Get "https://127.0.0.1:1/containerLogs/d/unreachable/c?tailLines=1": dial tcp 127.0.0.1:1: connect: connection refused',
      ]);
      const invalid = 'PodLogOptions "p" is invalid: ';
      expect(await log('p', '?tailLines=-1')).to.deep.equal([
        422,
        `${invalid}tailLines: Invalid value: -1: must be greater than or equal to 0`,
      ]);
      expect((await log('p', '?sinceSeconds=0&limitBytes=0'))[0]).to.equal(422);
      expect((await log('p', '?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z'))[0]).to.equal(422);
      expect((await log('p', '?stream=Both'))[0]).to.equal(422);
      expect((await log('p', '?stream=Stderr&tailLines=1'))[0]).to.equal(422);
      expect((await log('p', '?tailLines=x'))[0]).to.equal(400);
      expect((await log('p', '?sinceTime=yesterday'))[0]).to.equal(400);
      expect(asked).to.deep.equal([]);
    });

    it('trusts only kubelets that the authority signed', async () => {
      const other = await (await makeAuthority()).server();
      const impostor = createServer(other, (_request, response) => void response.end('lies'));
      impostor.listen(0, '127.0.0.1');
      await once(impostor, 'listening');
      objects.addNode('n', '127.0.0.1', (impostor.address() as AddressInfo).port);
      const [status, text] = await log('p');
      expect(status).to.equal(500);
      expect(text).not.to.contain('lies');
      impostor.close();
    });
  });

  describe('exec, attach and portforward', () => {
    function open(path: string, protocol: string): WebSocket {
      return new WebSocket(
        `wss://127.0.0.1:${target.port}/api/v1/namespaces/d/pods/${path}`,
        protocol === TUNNEL ? [] : [protocol],
        {
          ca: target.ca,
          headers: {
            authorization: 'Bearer secret',
            // The library knows no protocol with a slash in it.
            ...(protocol === TUNNEL ? { 'sec-websocket-protocol': TUNNEL } : {}),
          },
        },
      );
    }

    it('pass the channels of a command untouched', async () => {
      const socket = open('p/exec?command=cat&command=a+b&stdin=true', 'v5.channel.k8s.io');
      const messages: string[] = [];
      socket.on('message', (data: Buffer) => messages.push(data.toString()));
      await once(socket, 'open');
      expect(socket.protocol).to.equal('v5.channel.k8s.io');
      const long = 'x'.repeat(300_000);
      socket.send(channelMessage(Channel.stdin, Buffer.from(long)));
      socket.send(Uint8Array.of(255, 0));
      const [code] = (await once(socket, 'close')) as [number];
      expect(code).to.equal(1000);
      expect(messages[0]).to.equal(`\u0001${long}`);
      expect(messages[1]).to.contain('"message":"3"');
      expect(asked).to.deep.equal([
        'GET /exec/d/p/c?command=cat&command=a+b&error=1&input=1&output=1 kube-apiserver -',
      ]);
    });

    it('ask the kubelet for the container and streams that were asked for', async () => {
      const attach = open(
        'two/attach?container=b&stdin=true&tty=true&stderr=false',
        'v4.channel.k8s.io',
      );
      await once(attach, 'open');
      const forward = new WebSocket(
        `wss://127.0.0.1:${target.port}/api/v1/namespaces/d/pods/p/portforward`,
        [],
        {
          ca: target.ca,
        },
      );
      await once(forward, 'open');
      attach.terminate();
      forward.terminate();
      expect(asked).to.deep.equal([
        'GET /attach/d/two/b?input=1&output=1&tty=1 kube-apiserver -',
        'GET /portForward/d/p kube-apiserver -',
      ]);
      await until(() => [...sockets.clients].every(({ readyState }) => readyState === 3));
    });

    it('end at the kubelet when the client goes', async () => {
      const socket = open('p/exec?command=cat', 'v5.channel.k8s.io');
      await once(socket, 'open');
      const [far] = [...sockets.clients].filter(({ readyState }) => readyState === 1);
      socket.terminate();
      await until(() => far?.readyState === 3);
      const next = open('p/exec?command=cat', 'v5.channel.k8s.io');
      await once(next, 'open');
      const closed = once(next, 'close');
      for (const client of sockets.clients) client.terminate();
      await closed;
    });

    it('pass on what came with the request, and end with the connection of the client', async () => {
      const [near, far] = duplexPair();
      const path = '/api/v1/namespaces/d/pods/p/exec';
      const headers = {
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
        'sec-websocket-protocol': 'v5.channel.k8s.io',
      };
      const exchange = exchangeOf({ path, headers, query: { command: 'cat' } });
      // A message for stdin in a frame of a client, masked with zeros.
      const head = Buffer.from('82830000000000' + '6869', 'hex');
      const upgrade = { incoming: {} as IncomingMessage, socket: far, head };
      const request = { ...exchange.request, upgrade };
      const handler = connectHandler('exec', objects, {
        ...(await authority.client('kube-apiserver')),
        ca: authority.ca,
      });
      let received = Buffer.alloc(0);
      near.on('data', (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
      const answer = await handler({ ...exchange, request }, podKind as unknown as Kind);
      expect(answer).to.deep.equal({ type: 'upgraded' });
      await until(() => received.toString('hex').endsWith('8203016869'));
      expect(received.toString('latin1')).to.match(/^HTTP\/1.1 101 Switching Protocols\r\n/);
      const [socket] = [...sockets.clients].filter(({ readyState }) => readyState === 1);
      far.destroy();
      await until(() => socket?.readyState === 3);
    });

    async function refused(path: string, headers: Record<string, string> = {}): Promise<string> {
      const upgrade = {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
        'sec-websocket-protocol': 'v5.channel.k8s.io',
        ...headers,
      };
      const { status, body } = await sendHttp1(target, {
        path: `/api/v1/namespaces/d/pods/${path}`,
        headers: upgrade,
      });
      return `${status} ${(JSON.parse(body.toString()) as { message: string }).message}`;
    }

    it('are refused in the words of the real server', async () => {
      expect(await refused('none/exec?command=ls')).to.equal('404 pods "none" not found');
      expect(await refused('two/attach')).to.match(/^400 a container name must be specified/);
      expect(await refused('waiting/exec?command=ls')).to.equal(
        '400 pod waiting does not have a host assigned',
      );
      expect(await refused('unreachable/exec?command=ls')).to.equal(
        '500 Internal error occurred: error sending request: Post "https://127.0.0.1:1/exec/d/unreachable/c?command=ls&error=1&output=1": dial tcp 127.0.0.1:1: connect: connection refused',
      );
      expect(await refused('p/exec?command=ls', { upgrade: 'SPDY/3.1' })).to.equal(
        '400 only websocket is served',
      );
      const path = '/api/v1/namespaces/d/pods/p/exec?command=ls';
      const plain = await sendHttp1(target, { method: 'POST', path });
      expect(plain.status).to.equal(400);
      expect(plain.body.toString()).to.contain('Upgrade request required');
    });
  });
});
