/**
 * One nftables table that this process owns, made of the rules of many owners. `apply` changes only
 * what differs, in one transaction; the first time it builds the table anew, whatever another
 * process left.
 */
import { spawn } from 'node:child_process';
import type { ClusterEnv } from '../../env.js';
import { turnsOf } from '../../turns.js';
import { BASE_RULES, type RuleElement, type Rules } from './ruleset.js';

const FAMILY = 'ip';
const NO_RULES: Rules = { chains: new Map(), containers: new Map(), elements: [] };
/** Commands written to nft at a time. */
const BATCH = 500;

export class NftTable {
  private readonly env: ClusterEnv;
  private readonly table: string;
  private readonly program: string;
  private readonly wanted = new Map([['', BASE_RULES]]);
  /** Copy of the kernel's table; undefined when that is not known. */
  private kernel: Kernel | undefined;

  constructor(env: ClusterEnv, name: string, program = 'nft') {
    this.env = env;
    this.table = `${FAMILY} ${name}`;
    this.program = program;
  }

  /**
   * Sets the rules of each owner named, or takes them away. Rejects with what nft says: the kernel
   * has the old rules then, and the next call builds all anew.
   */
  async apply(changes: ReadonlyMap<string, Rules | undefined>): Promise<void> {
    for (const [owner, rules] of changes) {
      if (rules === undefined) this.wanted.delete(owner);
      else this.wanted.set(owner, rules);
    }
    const known = this.kernel;
    this.kernel = undefined;
    const kernel = known ?? new Kernel(this.table);
    const turns = turnsOf(this.env);
    for (const owner of known === undefined ? this.wanted.keys() : changes.keys()) {
      kernel.change(owner, this.wanted.get(owner) ?? NO_RULES);
      const pause = turns.pause();
      if (pause !== undefined) await pause;
    }
    const commands = kernel.takeCommands();
    await this.run(known === undefined ? [...emptied(this.table), ...commands] : commands);
    this.kernel = kernel;
  }

  /** Removes the table. */
  async remove(): Promise<void> {
    this.kernel = undefined;
    await this.run(emptied(this.table).slice(0, 2));
  }

  private async run(commands: readonly string[]): Promise<void> {
    if (commands.length === 0) return;
    const child = spawn(this.program, ['-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
    child.stdin.on('error', () => undefined);
    const ended = new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => {
        if (code === 0) resolve();
        else reject(new Error(`nft failed with code ${code ?? 'none'}: ${errors.trim()}`));
      });
    });
    const turns = turnsOf(this.env);
    for (let at = 0; at < commands.length; at += BATCH) {
      child.stdin.write(`${commands.slice(at, at + BATCH).join('\n')}\n`);
      const pause = turns.pause();
      if (pause !== undefined) await Promise.race([pause, ended]);
    }
    child.stdin.end();
    await ended;
  }
}

/** A table that is absent cannot be deleted; one that was just added can. */
function emptied(table: string): string[] {
  return [`add table ${table}`, `delete table ${table}`, `add table ${table}`];
}

/** Content of the table, and the commands of one transaction that got it there. */
class Kernel {
  private readonly table: string;
  private readonly rules = new Map<string, Rules>();
  /** Container -> key -> owner -> value. Of several owners of one key the first by name has it. */
  private readonly claims = new Map<string, Map<string, Map<string, string>>>();
  /** Elements that may have changed, with the value they had. */
  private readonly touched = new Map<string, Map<string, string | undefined>>();
  /** Declarations, then rules; elements come between them and what is deleted. */
  private declarations: string[] = [];
  private lines: string[] = [];
  private deletions: string[] = [];

  constructor(table: string) {
    this.table = table;
  }

  change(owner: string, next: Rules): void {
    const last = this.rules.get(owner) ?? NO_RULES;
    this.rules.set(owner, next);
    if (next === NO_RULES) this.rules.delete(owner);
    this.changeContainers(last, next);
    this.changeChains(last, next);
    for (const element of last.elements) this.claim(owner, element, undefined);
    for (const element of next.elements) this.claim(owner, element, element.value);
  }

  /**
   * In this order: what is declared can be referred to, and what is deleted is referred to by
   * nothing any more.
   */
  takeCommands(): string[] {
    const elements = this.elementCommands();
    const commands = [...this.declarations, ...this.lines, ...elements, ...this.deletions];
    this.declarations = [];
    this.lines = [];
    this.deletions = [];
    this.touched.clear();
    return commands;
  }

  private changeContainers(last: Rules, next: Rules): void {
    for (const [name, declaration] of next.containers) {
      if (last.containers.has(name)) continue;
      const [kind = '', body = ''] = declaration.split(/ (.*)/s);
      this.declarations.push(`add ${kind} ${this.table} ${name} ${body}`);
    }
    for (const name of last.containers.keys()) {
      if (!next.containers.has(name)) this.deletions.push(`delete set ${this.table} ${name}`);
    }
  }

  private changeChains(last: Rules, next: Rules): void {
    for (const [name, lines] of next.chains) {
      const previous = last.chains.get(name);
      if (previous?.join('\n') === lines.join('\n')) continue;
      const hook = lines.find((line) => line.startsWith('type '));
      if (previous !== undefined) this.lines.push(`flush chain ${this.table} ${name}`);
      else {
        const base = hook === undefined ? '' : ` { ${hook} }`;
        this.declarations.push(`add chain ${this.table} ${name}${base}`);
      }
      for (const line of lines) {
        if (line !== hook) this.lines.push(`add rule ${this.table} ${name} ${line}`);
      }
    }
    for (const name of last.chains.keys()) {
      if (next.chains.has(name)) continue;
      this.lines.push(`flush chain ${this.table} ${name}`);
      this.deletions.push(`delete chain ${this.table} ${name}`);
    }
  }

  private claim(owner: string, { container, key }: RuleElement, value: string | undefined): void {
    const keys = getOrMake(this.claims, container);
    const owners = getOrMake(keys, key);
    const touched = getOrMake(this.touched, container);
    if (!touched.has(key)) touched.set(key, winner(owners));
    if (value !== undefined) owners.set(owner, value);
    else owners.delete(owner);
    if (owners.size === 0) keys.delete(key);
  }

  /** All that goes before all that comes: an address may pass from one service to another. */
  private elementCommands(): string[] {
    const gone: string[] = [];
    const added: string[] = [];
    for (const [container, keys] of this.touched) {
      for (const [key, before] of keys) {
        const now = winner(this.claims.get(container)?.get(key));
        if (before === now) continue;
        if (before !== undefined) {
          gone.push(`delete element ${this.table} ${container} { ${key} }`);
        }
        if (now === undefined) continue;
        const text = now === '' ? key : `${key} : ${now}`;
        added.push(`add element ${this.table} ${container} { ${text} }`);
      }
    }
    return [...gone, ...added];
  }
}

function winner(owners: ReadonlyMap<string, string> | undefined): string | undefined {
  if (owners === undefined || owners.size === 0) return undefined;
  const [first = ''] = [...owners.keys()].sort();
  return owners.get(first);
}

function getOrMake<K, A, B>(map: Map<K, Map<A, B>>, key: K): Map<A, B> {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = new Map<A, B>();
  map.set(key, made);
  return made;
}
