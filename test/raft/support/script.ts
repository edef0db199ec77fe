import { ConfChangeType, EntryType, MessageType, message, Role } from '../../../src/raft/types.js';
import type { Message } from '../../../src/raft/types.js';
import {
  describeConf,
  describeContradiction,
  describeMessage,
  describeReady,
  roleName,
} from './describe.js';
import { Sim } from './sim.js';
import type { SimNode } from './sim.js';

/*
 * Scenario scripts. A file is a list of blocks: commands, a line `----`, the output they gave when the file was
 * reviewed, an empty line. Lines beginning with # are comments and stay. Commands:
 *
 *   cluster N [spares=N] [append=B] [inflight=N] [uncommitted=B] [prevote=off]
 *   elect N               campaign and settle without a word
 *   campaign|tick|due|crash|start|forget N ...    tick N*K ticks K times
 *   propose N [count]     read N      conf N add|learner|remove M      transfer N M
 *   ready N               take one Ready and show it
 *   sync N [count]        complete the oldest writes          apply N [count]
 *   copy N                remember N's disk         rollback N            put the copy in its place (N is down)
 *   compact N keep=K      checkpoint the state machine, keep K entries
 *   deliver [a>b] [type] [keep]   in order, those that match      drop [a>b] [type]
 *   cut a>b ...           heal
 *   settle [N ...]        everything possible among these members, with what is sent
 *   status [N ...]        unreachable N M        snapshot N M ok|failed
 *   inject type a>b field=value ...               entries=term/index,term/index
 */
export class Script {
  private sim: Sim | undefined;
  private lines: string[] = [];
  private echoSends = false;

  run(commands: readonly string[]): string {
    this.lines = [];
    for (const line of commands) this.command(line.split(' ').filter((w) => w !== ''));
    return this.lines.length === 0 ? 'ok' : this.lines.join('\n');
  }

  private get world(): Sim {
    if (this.sim === undefined) throw new Error('the script has to begin with `cluster`');
    return this.sim;
  }

  private node(id: string | undefined): SimNode {
    const node = this.world.nodes.get(BigInt(id ?? '0'));
    if (node === undefined) throw new Error(`no member ${id}`);
    return node;
  }

  private command(words: readonly string[]): void {
    const [name, ...args] = words;
    const core = (id: string | undefined): NonNullable<SimNode['core']> => {
      const c = this.node(id).core;
      if (c === null) throw new Error(`member ${id} is down`);
      return c;
    };
    switch (name) {
      case 'cluster':
        return this.cluster(args);
      case 'elect':
        core(args[0]).campaign();
        return this.world.settle();
      case 'campaign':
        return core(args[0]).campaign();
      case 'due':
        return core(args[0]).campaignIfDue();
      case 'forget':
        return core(args[0]).forgetLeader();
      case 'tick':
        for (const arg of args) {
          const [id, times] = arg.split('*');
          for (let i = 0; i < Number(times ?? 1); i++) this.world.tick(this.node(id));
        }
        return;
      case 'crash':
        return this.world.crash(this.node(args[0]));
      case 'start':
        return this.world.start(this.node(args[0]));
      case 'propose':
        return this.result(this.world.propose(this.node(args[0]), Number(args[1] ?? 1), 8));
      case 'read':
        this.lines.push(`context ${this.world.read(this.node(args[0]))}`);
        return;
      case 'conf':
        return this.conf(args);
      case 'transfer':
        return core(args[0]).transferLeader(BigInt(args[1] ?? 0));
      case 'unreachable':
        return core(args[0]).reportUnreachable(BigInt(args[1] ?? 0));
      case 'snapshot':
        return core(args[0]).reportSnapshot(BigInt(args[1] ?? 0), args[2] === 'ok');
      case 'ready':
        return this.ready(args[0]);
      case 'sync':
        for (let i = 0; i < Number(args[1] ?? 1); i++) this.world.finishWrite(this.node(args[0]));
        return;
      case 'apply':
        for (let i = 0; i < Number(args[1] ?? 1); i++) this.world.applyOne(this.node(args[0]));
        return;
      case 'copy':
        return this.world.copy(this.node(args[0]));
      case 'rollback':
        return this.world.rollBack(this.node(args[0]));
      case 'compact':
        return this.world.checkpoint(this.node(args[0]), Number(option(args, 'keep') ?? 0));
      case 'deliver':
      case 'drop':
        return this.route(name, args);
      case 'cut':
        for (const link of args) this.world.cut.add(link);
        return;
      case 'heal':
        return this.world.cut.clear();
      case 'settle':
        return this.settle(args);
      case 'status':
        return this.status(args);
      case 'inject':
        return this.inject(args);
      default:
        throw new Error(`unknown command ${name}`);
    }
  }

  private cluster(args: readonly string[]): void {
    this.sim = new Sim({
      seed: 1,
      members: Number(args[0]),
      spares: Number(option(args, 'spares') ?? 0),
      preVote: option(args, 'prevote') !== 'off',
      churn: false,
      fixedTimeouts: true,
      injects: true,
      limits: {
        append: Number(option(args, 'append') ?? 1 << 20),
        inflight: Number(option(args, 'inflight') ?? 256),
        committed: Number(option(args, 'committed') ?? 1 << 20),
        uncommitted: Number(option(args, 'uncommitted') ?? 1 << 20),
      },
      onReady: (id, rd) => {
        if (this.echoSends && rd.softState !== null) {
          this.lines.push(`${id} is ${roleName(rd.softState.role)}, leader ${rd.softState.leader}`);
        }
        if (this.echoSends && rd.contradiction !== null) {
          this.lines.push(`${id} ${describeContradiction(rd.contradiction)}`);
        }
        for (const s of rd.readStates) {
          if (this.echoSends) this.lines.push(`${id} reads at ${s.index} (context ${s.context})`);
        }
      },
      onSend: (m) => {
        if (this.echoSends) this.lines.push(describeMessage(m));
      },
    });
  }

  private result(text: string): void {
    if (text !== 'ok') this.lines.push(text);
  }

  private conf(args: readonly string[]): void {
    const types: Record<string, ConfChangeType> = {
      add: ConfChangeType.addVoter,
      learner: ConfChangeType.addLearner,
      remove: ConfChangeType.removeMember,
      update: ConfChangeType.updateMember,
    };
    const type = types[args[1] ?? ''];
    if (type === undefined) throw new Error(`unknown change ${args[1]}`);
    const change = { type, memberId: BigInt(args[2] ?? 0), context: new Uint8Array(0) };
    this.result(this.world.change(this.node(args[0]), change));
  }

  private ready(id: string | undefined): void {
    const node = this.node(id);
    const rd = this.world.takeReady(node);
    this.lines.push(...(rd === undefined ? ['nothing'] : describeReady(rd)));
  }

  private matching(args: readonly string[]): (m: Message) => boolean {
    const link = args.find((a) => a.includes('>'));
    const type = args.find((a) => a in MessageType);
    return (m) =>
      (link === undefined || link === `${m.from}>${m.to}`) &&
      (type === undefined || MessageType[type as keyof typeof MessageType] === m.type);
  }

  private route(name: string, args: readonly string[]): void {
    const matches = this.matching(args);
    const keep = args.includes('keep');
    const chosen = this.world.network.filter(matches);
    if (!keep) {
      const rest = this.world.network.filter((m) => !matches(m));
      this.world.network.splice(0, this.world.network.length, ...rest);
    }
    for (const m of chosen) {
      this.lines.push(describeMessage(m));
      if (name === 'deliver' && !this.world.cut.has(`${m.from}>${m.to}`)) this.world.inject(m);
    }
    if (chosen.length === 0) this.lines.push('none');
  }

  private settle(args: readonly string[]): void {
    this.echoSends = true;
    this.world.settle(args.length === 0 ? undefined : args.map((a) => BigInt(a)));
    this.echoSends = false;
  }

  private status(args: readonly string[]): void {
    const ids = args.length > 0 ? args : this.world.live().map((n) => String(n.id));
    for (const id of ids) {
      const node = this.node(id);
      if (node.core === null) {
        this.lines.push(`${id}: down`);
        continue;
      }
      const s = node.core.status();
      this.lines.push(
        `${id}: ${roleName(s.role)} leader=${s.leader} t=${s.hardState.term} vote=${s.hardState.vote} ` +
          `commit=${s.hardState.commit} applied=${s.applied} stable=${s.stable} last=${s.lastIndex} ` +
          `from=${s.compactedIndex} ${describeConf(s.confState)}`,
      );
      if (s.role !== Role.leader) continue;
      for (const [peer, p] of s.progress) {
        if (peer === s.id) continue;
        const marks = `${p.recentActive ? '' : ' inactive'}${p.isLearner ? ' learner' : ''}`;
        this.lines.push(`   ${peer}: ${p.state} match=${p.match} next=${p.next}${marks}`);
      }
    }
  }

  private inject(args: readonly string[]): void {
    const [type, link, ...fields] = args;
    const [from, to] = (link ?? '').split('>');
    const m = message(MessageType[type as keyof typeof MessageType], BigInt(to ?? 0));
    m.from = BigInt(from ?? 0);
    for (const field of fields) {
      const [key, value] = field.split('=');
      if (key === 'entries') {
        m.entries = (value ?? '').split(',').map((e) => {
          const [term, index] = e.split('/');
          const data = new Uint8Array(8);
          return { term: Number(term), index: Number(index), type: EntryType.normal, data };
        });
        continue;
      }
      const isFlag = value === 'true' || value === 'false';
      Reflect.set(m, key ?? '', isFlag ? value === 'true' : Number(value));
    }
    this.world.inject(m);
  }
}

function option(args: readonly string[], name: string): string | undefined {
  return args.find((a) => a.startsWith(`${name}=`))?.slice(name.length + 1);
}
