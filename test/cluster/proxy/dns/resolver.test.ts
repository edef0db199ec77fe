/** Names of the cluster, asked for as a client does. */
import { expect } from 'chai';
import * as dns from 'dns-packet';
import type { Answer, DecodedPacket, RecordType } from 'dns-packet';
import { silentLogger } from '../../../../src/base/observe/logger.js';
import { ENDPOINT_SLICES, SERVICES } from '../../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../../src/cluster/client/rest-client.js';
import { SharedInformers } from '../../../../src/cluster/client/shared-informers.js';
import type { Forwarded, Forwarder } from '../../../../src/cluster/proxy/dns/forwarder.js';
import { RCODE } from '../../../../src/cluster/proxy/dns/message.js';
import { Resolver } from '../../../../src/cluster/proxy/dns/resolver.js';
import { ClusterZone } from '../../../../src/cluster/proxy/dns/zone.js';
import { FakeApi } from '../../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../../support/virtual-time.js';
import { endpointOf, serviceOf, sliceOf } from '../support/objects.js';

const WEB_PORTS = [
  { name: 'http', protocol: 'TCP', port: 80 },
  { name: 'dns', protocol: 'UDP', port: 53 },
];

class Bench {
  readonly time = new VirtualTime();
  readonly api = new FakeApi(this.time);
  readonly informers = new SharedInformers(this.time, silentLogger, restClient(this.api));
  readonly asked: string[] = [];
  forwarded: Forwarded = { failure: 'refused' };
  readonly resolver: Resolver;

  constructor() {
    const forwarder: Pick<Forwarder, 'ask'> = {
      ask: (message) => {
        const [question] = dns.decode(message).questions ?? [];
        this.asked.push(`${question?.type} ${question?.name}`);
        return Promise.resolve(this.forwarded);
      },
    };
    const zone = new ClusterZone(this.informers, 'cluster.local');
    this.resolver = new Resolver(this.time, zone, forwarder);
  }

  async start(): Promise<void> {
    const { api } = this;
    api.put(SERVICES, serviceOf('web', { clusterIP: '10.96.0.7', ports: WEB_PORTS }));
    api.put(SERVICES, serviceOf('db', { clusterIP: 'None', ports: WEB_PORTS.slice(0, 1) }));
    api.put(SERVICES, serviceOf('empty', { clusterIP: 'None' }, 'other'));
    const external = { type: 'ExternalName', externalName: 'example.com' };
    api.put(SERVICES, serviceOf('out', external));
    const inside = { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' };
    api.put(SERVICES, serviceOf('alias', inside));
    const loop = { type: 'ExternalName', externalName: 'loop.default.svc.cluster.local' };
    api.put(SERVICES, serviceOf('loop', loop));
    api.put(
      ENDPOINT_SLICES,
      sliceOf('db', [
        endpointOf('10.244.1.2', { hostname: 'db-0' }),
        endpointOf('10.244.1.3'),
        endpointOf('10.244.1.4', { conditions: { ready: false } }),
      ]),
    );
    api.put(ENDPOINT_SLICES, sliceOf('web', [endpointOf('10.244.1.9')]));
    this.informers.start();
    await this.time.run(this.informers.synced());
  }

  async query(
    name: string,
    type: RecordType | 'ANY' = 'A',
    more: Partial<dns.Packet> = {},
    isTcp = false,
  ): Promise<DecodedPacket> {
    const question = { type: type as RecordType, name };
    const flags = dns.RECURSION_DESIRED;
    const packet: dns.Packet = { type: 'query', id: 77, flags, questions: [question], ...more };
    return dns.decode(await this.send(dns.encode(packet), isTcp));
  }

  async send(message: Buffer, isTcp = false): Promise<Buffer> {
    const reply = await this.resolver.answer(message, isTcp);
    if (reply === undefined) throw new Error('no answer');
    return reply;
  }

  /** Answers in short; the code's name when there are none. */
  async ask(name: string, type: RecordType | 'ANY' = 'A'): Promise<string[] | string> {
    const { answers = [], flags = 0 } = await this.query(name, type);
    const code = flags & 0xf;
    if (answers.length > 0) return answers.map(describeAnswer).sort();
    return code === RCODE.NOERROR ? 'no data' : (CODES.get(code) ?? String(code));
  }
}

const CODES = new Map(Object.entries(RCODE).map(([name, code]) => [code as number, name]));

function describeAnswer(answer: Answer): string {
  if (answer.type === 'SRV') {
    const { priority, weight, port, target } = answer.data;
    return `SRV ${priority} ${weight} ${port} ${target}`;
  }
  const data = 'data' in answer ? answer.data : '';
  return `${answer.type} ${typeof data === 'string' || Array.isArray(data) ? data.toString() : ''}`;
}

const DOMAIN = 'svc.cluster.local';

describe('cluster/proxy/dns/resolver', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = new Bench();
    await bench.start();
  });
  afterEach(() => bench.time.run(bench.informers.stop()));

  const asks = async (cases: readonly [string, RecordType | 'ANY', unknown][]): Promise<void> => {
    for (const [name, type, expected] of cases) {
      expect(await bench.ask(name, type), `${type} ${name}`).to.deep.equal(expected);
    }
    expect(bench.asked).to.deep.equal([]);
  };

  it('knows services by their cluster IP', () =>
    asks([
      [`web.default.${DOMAIN}`, 'A', ['A 10.96.0.7']],
      [`web.default.${DOMAIN}`, 'AAAA', 'no data'],
      [`web.default.${DOMAIN}`, 'ANY', ['A 10.96.0.7']],
      [`_http._tcp.web.default.${DOMAIN}`, 'SRV', [`SRV 0 100 80 web.default.${DOMAIN}`]],
      [`_dns._udp.web.default.${DOMAIN}`, 'SRV', [`SRV 0 100 53 web.default.${DOMAIN}`]],
      [`_http._tcp.web.default.${DOMAIN}`, 'A', 'no data'],
      [`_tcp.web.default.${DOMAIN}`, 'SRV', 'no data'],
      [`_sctp.web.default.${DOMAIN}`, 'SRV', 'NXDOMAIN'],
      [`_http._udp.web.default.${DOMAIN}`, 'SRV', 'NXDOMAIN'],
      ['7.0.96.10.in-addr.arpa', 'PTR', [`PTR web.default.${DOMAIN}`]],
      ['7.0.96.10.in-addr.arpa', 'A', 'no data'],
    ]));

  it('knows headless services by their ready endpoints', () =>
    asks([
      [`db.default.${DOMAIN}`, 'A', ['A 10.244.1.2', 'A 10.244.1.3']],
      [`db-0.db.default.${DOMAIN}`, 'A', ['A 10.244.1.2']],
      [`10-244-1-3.db.default.${DOMAIN}`, 'A', ['A 10.244.1.3']],
      [`10-244-1-4.db.default.${DOMAIN}`, 'A', 'NXDOMAIN'],
      [
        `_http._tcp.db.default.${DOMAIN}`,
        'SRV',
        [
          `SRV 0 100 8080 10-244-1-3.db.default.${DOMAIN}`,
          `SRV 0 100 8080 db-0.db.default.${DOMAIN}`,
        ],
      ],
      ['2.1.244.10.in-addr.arpa', 'PTR', [`PTR db-0.db.default.${DOMAIN}`]],
      [`empty.other.${DOMAIN}`, 'A', 'no data'],
    ]));

  it('knows pods by their address, and the version of the schema', () =>
    asks([
      ['10-244-1-2.default.pod.cluster.local', 'A', ['A 10.244.1.2']],
      ['10-244-1.default.pod.cluster.local', 'A', 'NXDOMAIN'],
      ['a.10-244-1-2.default.pod.cluster.local', 'A', 'NXDOMAIN'],
      ['default.pod.cluster.local', 'A', 'no data'],
      ['dns-version.cluster.local', 'TXT', ['TXT 1.1.0']],
    ]));

  it('tells names that do not exist from those that have no such record', () =>
    asks([
      ['cluster.local', 'A', 'no data'],
      [DOMAIN, 'A', 'no data'],
      [`default.${DOMAIN}`, 'A', 'no data'],
      [`nobody.${DOMAIN}`, 'A', 'NXDOMAIN'],
      [`nope.default.${DOMAIN}`, 'A', 'NXDOMAIN'],
      [`x.web.default.${DOMAIN}`, 'A', 'NXDOMAIN'],
      [`web.default.${DOMAIN}.${DOMAIN}`, 'A', 'NXDOMAIN'],
      ['nope.cluster.local', 'A', 'NXDOMAIN'],
    ]));

  it('says for how long a negative answer holds, and that it knows', async () => {
    const packet = await bench.query(`nope.default.${DOMAIN}`);
    expect(packet.flag_aa).to.equal(true);
    const [soa] = packet.authorities ?? [];
    expect(soa).to.deep.include({ type: 'SOA', name: 'cluster.local', ttl: 5 });
    const { answers = [] } = await bench.query(`web.default.${DOMAIN}`);
    expect(answers[0]).to.deep.include({ ttl: 5 });
  });

  it('follows changes', async () => {
    bench.api.put(ENDPOINT_SLICES, sliceOf('db', [endpointOf('10.244.2.2')]));
    bench.api.remove(SERVICES, serviceOf('web', {}));
    await bench.time.settle();
    await asks([
      [`db.default.${DOMAIN}`, 'A', ['A 10.244.2.2']],
      [`web.default.${DOMAIN}`, 'A', 'NXDOMAIN'],
    ]);
  });

  it("ignores letters' case, and keeps that of the question", async () => {
    const name = `WeB.Default.${DOMAIN}`;
    const { answers = [], questions = [] } = await bench.query(name);
    expect(questions[0]?.name).to.equal(name);
    expect(answers[0]).to.deep.include({ name, data: '10.96.0.7' });
  });

  it('gives the addresses of SRV targets with them', async () => {
    const { additionals = [] } = await bench.query(`_http._tcp.db.default.${DOMAIN}`, 'SRV');
    expect(additionals.map(describeAnswer)).to.have.members(['A 10.244.1.2', 'A 10.244.1.3']);
  });

  it('follows aliases, in the cluster and out of it', async () => {
    await asks([
      [`alias.default.${DOMAIN}`, 'A', ['A 10.96.0.7', `CNAME web.default.${DOMAIN}`]],
      [`alias.default.${DOMAIN}`, 'CNAME', [`CNAME web.default.${DOMAIN}`]],
    ]);
    const answers = [{ type: 'A', name: 'example.com', data: '192.0.2.9' }] as const;
    bench.forwarded = { answer: dns.encode({ type: 'response', answers: [...answers] }) };
    expect(await bench.ask(`out.default.${DOMAIN}`)).to.deep.equal([
      'A 192.0.2.9',
      'CNAME example.com',
    ]);
    expect(bench.asked.splice(0)).to.deep.equal(['A example.com']);
    const flags = dns.TRUNCATED_RESPONSE;
    bench.forwarded = { answer: dns.encode({ type: 'response', flags, answers: [...answers] }) };
    await bench.ask(`out.default.${DOMAIN}`);
    expect(bench.asked, 'again over TCP').to.deep.equal(['A example.com', 'A example.com']);
    bench.forwarded = { failure: 'unanswered' };
    const { answers: left = [], flags: code = 0 } = await bench.query(`out.default.${DOMAIN}`);
    expect([left.length, code & 0xf]).to.deep.equal([1, RCODE.SERVFAIL]);
    const endless = await bench.query(`loop.default.${DOMAIN}`);
    expect((endless.flags ?? 0) & 0xf).to.equal(RCODE.SERVFAIL);
  });

  it('passes on what others know as it is', async () => {
    const answer = Buffer.from('as it came');
    bench.forwarded = { answer };
    const question = { type: 'MX', name: 'example.com' } as const;
    const message = dns.encode({ type: 'query', id: 1, questions: [question] });
    expect(await bench.send(message)).to.deep.equal(answer);
    expect(await bench.send(message, true)).to.deep.equal(answer);
    bench.forwarded = { failure: 'unanswered' };
    expect(await bench.ask('example.com')).to.equal('SERVFAIL');
    bench.forwarded = { failure: 'refused' };
    expect(await bench.ask('9.9.9.9.in-addr.arpa', 'PTR')).to.equal('REFUSED');
  });

  it('does not know before it has seen all services', async () => {
    const fresh = new Bench();
    expect(await fresh.ask(`web.default.${DOMAIN}`)).to.equal('SERVFAIL');
  });

  describe('messages', () => {
    const many = Array.from({ length: 60 }, (_, i) => endpointOf(`10.244.7.${i}`));
    const opt = (udpPayloadSize: number, ednsVersion = 0): Partial<dns.Packet> => ({
      additionals: [
        {
          type: 'OPT',
          name: '.',
          udpPayloadSize,
          ednsVersion,
          extendedRcode: 0,
          flags: 0,
          flag_do: false,
          options: [],
        },
      ],
    });

    it('are cut to what a UDP client takes, and whole over TCP', async () => {
      bench.api.put(ENDPOINT_SLICES, sliceOf('db', many));
      await bench.time.settle();
      const name = `db.default.${DOMAIN}`;
      const plain = await bench.query(name);
      expect(plain.flag_tc).to.equal(true);
      const larger = await bench.query(name, 'A', opt(1232));
      expect(larger.flag_tc).to.equal(true);
      expect(larger.answers?.length).to.be.greaterThan(2 * (plain.answers?.length ?? 60));
      const whole = await bench.query(name, 'A', {}, true);
      expect([whole.flag_tc, whole.answers?.length]).to.deep.equal([false, 60]);
      const asked: dns.Packet = { type: 'query', questions: [{ type: 'A', name }] };
      expect((await bench.send(dns.encode(asked))).length).to.be.within(450, 512);
      const sized = dns.encode({ ...asked, ...opt(900) });
      expect((await bench.send(sized)).length).to.be.within(830, 900);
      const huge = dns.encode({ ...asked, ...opt(9000) });
      expect((await bench.send(huge)).length).to.be.within(1160, 1232);
    });

    it('have EDNS only for those who speak it, and refuse its other versions', async () => {
      const name = `web.default.${DOMAIN}`;
      expect((await bench.query(name)).additionals).to.deep.equal([]);
      const [mine] = (await bench.query(name, 'A', opt(4096))).additionals ?? [];
      expect(mine).to.deep.include({ type: 'OPT', udpPayloadSize: 1232, extendedRcode: 0 });
      const [bad] = (await bench.query(name, 'A', opt(4096, 1))).additionals ?? [];
      expect(bad).to.deep.include({ type: 'OPT', extendedRcode: 1, ednsVersion: 0 });
    });

    it('that are no queries get an error or nothing', async () => {
      const question = { type: 'A', name: `web.default.${DOMAIN}` } as const;
      const query = dns.encode({ type: 'query', id: 9, questions: [question] });
      const codeOf = async (message: Buffer): Promise<string> => {
        const reply = await bench.send(message);
        expect(reply.readUInt16BE(0)).to.equal(9);
        return CODES.get(reply.readUInt16BE(2) & 0xf) ?? '';
      };
      const changed = (change: (message: Buffer) => void): Buffer => {
        const copy = Buffer.from(query);
        change(copy);
        return copy;
      };
      expect(await codeOf(changed((copy) => copy.writeUInt8(0x28, 2)))).to.equal('NOTIMP');
      expect(await codeOf(changed((copy) => copy.writeUInt16BE(2, 4)))).to.equal('FORMERR');
      expect(await codeOf(changed((copy) => copy.writeUInt16BE(0, 4)))).to.equal('FORMERR');
      expect(await codeOf(changed((copy) => copy.writeUInt8(0xc0, 12)))).to.equal('FORMERR');
      expect(await codeOf(changed((copy) => copy.writeUInt16BE(9, 10)))).to.equal('FORMERR');
      expect(await codeOf(query.subarray(0, query.length - 3))).to.equal('FORMERR');
      const chaos = { ...question, class: 'CH' } as const;
      expect(await codeOf(dns.encode({ type: 'query', id: 9, questions: [chaos] }))).to.equal(
        'REFUSED',
      );
      const { resolver } = bench;
      expect(
        await resolver.answer(
          changed((copy) => copy.writeUInt8(0x80, 2)),
          false,
        ),
      ).to.equal(undefined);
      expect(await resolver.answer(Buffer.alloc(11), false)).to.equal(undefined);
    });

    it('of any bytes never make it fail', async () => {
      for (let i = 0; i < 500; i += 1) {
        const size = bench.time.randomU32() % 60;
        const message = Buffer.from(
          Array.from({ length: size }, () => bench.time.randomU32() & 0xff),
        );
        if (size > 5) message.writeUInt32BE(1, 2);
        await bench.resolver.answer(message, i % 2 === 0);
      }
    });
  });
});
