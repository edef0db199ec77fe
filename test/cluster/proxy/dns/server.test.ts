/** The server and the forwarder on real sockets. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import * as dns from 'dns-packet';
import { silentLogger } from '../../../../src/base/observe/logger.js';
import { Forwarder } from '../../../../src/cluster/proxy/dns/forwarder.js';
import { nameserversOf } from '../../../../src/cluster/proxy/dns/resolv-conf.js';
import { DnsServer, type AnswerQuery } from '../../../../src/cluster/proxy/dns/server.js';
import { StreamFrames } from '../../../../src/cluster/proxy/dns/stream-frames.js';
import type { ClusterEnv } from '../../../../src/cluster/env.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import { until } from '../../../support/until.js';

const env = systemClusterEnv();
const ADDRESS = '127.0.0.1';

function listen(answer: AnswerQuery, address = ADDRESS, port = 0): Promise<DnsServer> {
  return DnsServer.listen({ env, log: silentLogger, address, port, answer });
}

function queryOf(name: string, id = 5): Buffer {
  return dns.encode({ type: 'query', id, questions: [{ type: 'A', name }] });
}

function replyTo(query: Buffer, data: string, flags = 0): Buffer {
  const { id = 0, questions = [] } = dns.decode(query);
  const name = questions[0]?.name ?? '';
  return dns.encode({
    type: 'response',
    id,
    flags,
    questions,
    answers: [{ type: 'A', name, data }],
  });
}

async function askUdp(port: number, query: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4');
  socket.send(query, port, ADDRESS);
  const [message] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return message;
}

/** Collects messages of a connection. */
function collect(socket: Socket): Buffer[] {
  const messages: Buffer[] = [];
  const frames = new StreamFrames((message) => messages.push(Buffer.from(message)));
  socket.on('data', (data) => frames.push(data));
  socket.on('error', () => undefined);
  return messages;
}

describe('cluster/proxy/dns/server', () => {
  const servers: DnsServer[] = [];
  const serve = async (answer: AnswerQuery): Promise<DnsServer> => {
    const server = await listen(answer);
    servers.push(server);
    return server;
  };
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.stop();
  });

  const echo: AnswerQuery = (message, isTcp) =>
    Promise.resolve(Buffer.concat([Buffer.from(isTcp ? 'tcp ' : 'udp '), message]));

  it('answers over UDP and TCP on one port', async () => {
    const { port } = await serve(echo);
    expect(String(await askUdp(port, Buffer.from('hello')))).to.equal('udp hello');
    const socket = connect(port, ADDRESS);
    const messages = collect(socket);
    const [first, second] = ['one', 'two'].map((text) => StreamFrames.frame(Buffer.from(text)));
    // Cut in the middle of a length.
    socket.write(Buffer.concat([first ?? Buffer.of(), (second ?? Buffer.of()).subarray(0, 1)]));
    await until(() => messages.length === 1);
    socket.end((second ?? Buffer.of()).subarray(1));
    await once(socket, 'close');
    expect(messages.map(String)).to.deep.equal(['tcp one', 'tcp two']);
  });

  it('works on few queries of one connection at once', async () => {
    let working = 0;
    let most = 0;
    const waiting: (() => void)[] = [];
    const { port } = await serve(async (message) => {
      working += 1;
      most = Math.max(most, working);
      await new Promise<void>((resolve) => waiting.push(resolve));
      working -= 1;
      return message;
    });
    const socket = connect(port, ADDRESS);
    const messages = collect(socket);
    for (let i = 0; i < 100; i += 1) {
      socket.write(StreamFrames.frame(Buffer.alloc(20_000, i)));
    }
    await until(() => {
      waiting.splice(0).forEach((resume) => resume());
      return messages.length === 100;
    });
    // All messages of one read are worked on, however many they are.
    expect(most).to.be.within(2, 16 + 5);
    socket.destroy();
  });

  it('refuses connections beyond its limit', async () => {
    const { port } = await serve(echo);
    const sockets: Socket[] = [];
    const ended = new Set<Socket>();
    for (let i = 0; i < 260; i += 1) {
      const socket = connect(port, ADDRESS);
      socket.on('error', () => undefined);
      socket.on('close', () => ended.add(socket));
      sockets.push(socket);
      await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
    }
    await until(() => ended.size === 4);
    for (const socket of sockets) socket.destroy();
  });

  it('says when its port is taken, by either protocol', async () => {
    const { port } = await serve(echo);
    const error = await listen(echo, ADDRESS, port).catch(String);
    expect(error).to.match(/EADDRINUSE/);
    // No connection of another test has its ports there.
    const aloneAddress = '127.53.0.1';
    const udp = createSocket('udp4');
    udp.bind(0, aloneAddress);
    await once(udp, 'listening');
    const taken = udp.address().port;
    expect(await listen(echo, aloneAddress, taken).catch(String)).to.match(/EADDRINUSE/);
    // The failed attempt gave back its port of the other protocol.
    const tcp = createServer().listen(taken, aloneAddress);
    await once(tcp, 'listening');
    tcp.close();
    udp.close();
  });
});

describe('cluster/proxy/dns/forwarder', () => {
  const dir = mkdtempSync(join(tmpdir(), 'mainstay-test-dns-'));
  const resolverFile = join(dir, 'resolv.conf');
  let closing: (() => Promise<void>)[] = [];
  /** Time-outs end when the test says so. */
  const timeouts = new Set<() => void>();
  const timed: ClusterEnv = {
    ...env,
    after: (_, callback) => {
      timeouts.add(callback);
      return { cancel: () => timeouts.delete(callback) };
    },
  };
  /** Soon, so that what was sent arrives before. */
  const endTimeouts = (): void => {
    setTimeout(() => timeouts.forEach((end) => end()), 30);
  };
  afterEach(async () => {
    for (const close of closing) await close();
    closing = [];
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  /** Servers of all test addresses have one port. */
  async function upstreams(
    answers: Readonly<Record<string, AnswerQuery>>,
    conf: readonly string[] = Object.keys(answers),
  ): Promise<Forwarder> {
    let port = 0;
    for (const [address, answer] of Object.entries(answers)) {
      const server = await listen(answer, address, port);
      port = server.port;
      closing.push(() => server.stop());
    }
    writeFileSync(resolverFile, conf.map((address) => `nameserver ${address}\n`).join(''));
    return new Forwarder({
      env: timed,
      log: silentLogger,
      resolverFile,
      isOwnAddress: (ip) => ip === '127.0.0.53',
      port,
    });
  }

  const answerOf = (result: Awaited<ReturnType<Forwarder['ask']>>): string => {
    if (!('answer' in result)) return result.failure;
    const [answer] = dns.decode(result.answer).answers ?? [];
    return answer?.type === 'A' ? answer.data : 'none';
  };
  const good =
    (data: string): AnswerQuery =>
    (message, isTcp) =>
      Promise.resolve(replyTo(message, isTcp ? `${data}4` : data));
  const silent: AnswerQuery = () => {
    endTimeouts();
    return Promise.resolve(undefined);
  };

  it('asks the first server, as the client asked', async () => {
    const forwarder = await upstreams({
      '127.0.0.1': good('1.1.1.1'),
      '127.0.0.2': good('2.2.2.2'),
    });
    const udp = await forwarder.ask(queryOf('example.com'), false);
    expect(answerOf(udp)).to.equal('1.1.1.1');
    expect('answer' in udp && udp.answer.readUInt16BE(0)).to.equal(5);
    expect(answerOf(await forwarder.ask(queryOf('example.com'), true))).to.equal('1.1.1.14');
  });

  it('asks the next when one is silent or not there', async () => {
    const forwarder = await upstreams({ '127.0.0.2': silent, '127.0.0.3': good('3.3.3.3') }, [
      '127.0.0.1',
      '127.0.0.2',
      '127.0.0.3',
    ]);
    expect(answerOf(await forwarder.ask(queryOf('example.com'), false))).to.equal('3.3.3.3');
    expect(answerOf(await forwarder.ask(queryOf('example.com'), true))).to.equal('3.3.3.34');
  });

  it('says when none answers', async () => {
    const forwarder = await upstreams({ '127.0.0.1': silent });
    expect(await forwarder.ask(queryOf('a.b'), false)).to.deep.equal({ failure: 'unanswered' });
  });

  it('believes only answers to its own question', async () => {
    const forwarder = await upstreams({
      '127.0.0.1': (message) => {
        endTimeouts();
        const forged = replyTo(message, '6.6.6.6');
        forged.writeUInt16BE(forged.readUInt16BE(0) ^ 1);
        return Promise.resolve(forged);
      },
      '127.0.0.2': (message) => {
        endTimeouts();
        const { id = 0 } = dns.decode(message);
        return Promise.resolve(replyTo(queryOf('other.com', id), '6.6.6.6'));
      },
      '127.0.0.3': good('3.3.3.3'),
    });
    expect(answerOf(await forwarder.ask(queryOf('example.com'), false))).to.equal('3.3.3.3');
  });

  it('passes on that an answer was cut', async () => {
    const forwarder = await upstreams({
      '127.0.0.1': (message) =>
        Promise.resolve(replyTo(message, '1.1.1.1', dns.TRUNCATED_RESPONSE)),
    });
    const result = await forwarder.ask(queryOf('example.com'), false);
    expect('answer' in result && dns.decode(result.answer).flag_tc).to.equal(true);
  });

  it('never asks itself, and refuses when nobody is left', async () => {
    const forwarder = await upstreams({}, ['127.0.0.53']);
    expect(await forwarder.ask(queryOf('a.b'), false)).to.deep.equal({ failure: 'refused' });
    rmSync(resolverFile);
    const without = new Forwarder({
      env,
      log: silentLogger,
      resolverFile,
      isOwnAddress: () => false,
    });
    expect(await without.ask(queryOf('a.b'), false)).to.deep.equal({ failure: 'refused' });
  });

  it('refuses queries when too many wait', async () => {
    const held: (() => void)[] = [];
    const forwarder = await upstreams({
      '127.0.0.1': (message) =>
        new Promise((resolve) => held.push(() => resolve(replyTo(message, '1.1.1.1')))),
    });
    const waiting = Array.from({ length: 1_001 }, () => forwarder.ask(queryOf('a.b'), false));
    const refused = await Promise.race(waiting);
    expect(refused).to.deep.equal({ failure: 'refused' });
    await until(() => held.length > 0);
    held.forEach((release) => release());
    endTimeouts();
    await Promise.all(waiting);
  });

  it('reads the servers of a resolv.conf', () => {
    const text = [
      '# nameserver 9.9.9.9',
      'nameserver 10.0.0.1',
      'search a b',
      '  nameserver\t10.0.0.2 ',
      'nameserver fe80::1%eth0',
      'nameserver nobody',
      'nameserver 10.0.0.4',
    ];
    expect(nameserversOf(text.join('\n'))).to.deep.equal(['10.0.0.1', '10.0.0.2', 'fe80::1%eth0']);
  });
});
