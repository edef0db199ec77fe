/**
 * One nftables table that this process owns. `apply` brings it from what was applied before to a
 * wanted ruleset in one transaction, changing only what differs; the first time it builds the table
 * anew, whatever another process left.
 */
import { spawn } from 'node:child_process';
import type { Ruleset } from './ruleset.js';

const FAMILY = 'ip';

export class NftTable {
  private readonly name: string;
  private readonly program: string;
  private applied: Ruleset | undefined;

  constructor(name: string, program = 'nft') {
    this.name = name;
    this.program = program;
  }

  /** Rejects with what nft says; the kernel has the old rules then, and the next call builds all anew. */
  async apply(wanted: Ruleset): Promise<void> {
    const { applied } = this;
    const commands =
      applied === undefined ? this.buildAll(wanted) : this.buildChanges(applied, wanted);
    if (commands.length === 0) return;
    this.applied = undefined;
    await this.run(commands);
    this.applied = wanted;
  }

  /** Removes the table. */
  async remove(): Promise<void> {
    this.applied = undefined;
    await this.run([`add table ${this.table}`, `delete table ${this.table}`]);
  }

  private get table(): string {
    return `${FAMILY} ${this.name}`;
  }

  private buildAll(wanted: Ruleset): string[] {
    const empty = { chains: new Map(), containers: new Map(), elements: new Map() };
    return [
      // A table that is absent cannot be deleted; one that was just added can.
      `add table ${this.table}`,
      `delete table ${this.table}`,
      `add table ${this.table}`,
      ...this.buildChanges(empty, wanted),
    ];
  }

  /**
   * New containers and chains first, then what refers to them; what is gone goes last, when nothing
   * refers to it any more.
   */
  private buildChanges(old: Ruleset, wanted: Ruleset): string[] {
    const { table } = this;
    const before: string[] = [];
    const rules: string[] = [];
    const after: string[] = [];
    for (const [name, declaration] of wanted.containers) {
      if (!old.containers.has(name)) before.push(inTable(table, declaration));
    }
    for (const [name, lines] of wanted.chains) {
      const previous = old.chains.get(name);
      if (previous === undefined) before.push(declareChain(table, name, lines));
      if (previous?.join('\n') === lines.join('\n')) continue;
      if (previous !== undefined) rules.push(`flush chain ${table} ${name}`);
      for (const line of rulesOf(lines)) rules.push(`add rule ${table} ${name} ${line}`);
    }
    for (const [container, elements] of wanted.elements) {
      const previous = old.elements.get(container) ?? new Map<string, string>();
      const gone = [...previous].filter(([key, value]) => elements.get(key) !== value);
      const added = [...elements].filter(([key, value]) => previous.get(key) !== value);
      if (gone.length > 0) {
        rules.push(
          `delete element ${table} ${container} { ${gone.map(([key]) => key).join(', ')} }`,
        );
      }
      if (added.length > 0) {
        const texts = added.map(([key, value]) => (value === '' ? key : `${key} : ${value}`));
        rules.push(`add element ${table} ${container} { ${texts.join(', ')} }`);
      }
    }
    for (const name of old.chains.keys()) {
      if (wanted.chains.has(name)) continue;
      rules.push(`flush chain ${table} ${name}`);
      after.push(`delete chain ${table} ${name}`);
    }
    for (const name of old.containers.keys()) {
      if (!wanted.containers.has(name)) after.push(`delete set ${table} ${name}`);
    }
    return [...before, ...rules, ...after];
  }

  private run(commands: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const child = spawn(this.program, ['-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
      let errors = '';
      child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
      child.on('error', reject);
      child.on('close', (code) => {
        if (code === 0) resolve();
        else reject(new Error(`nft failed with code ${code ?? 'none'}: ${errors.trim()}`));
      });
      child.stdin.on('error', () => undefined);
      child.stdin.end(`${commands.join('\n')}\n`);
    });
  }
}

function inTable(table: string, declaration: string): string {
  const at = declaration.indexOf(' ');
  return `add ${declaration.slice(0, at)} ${table} ${declaration.slice(at + 1)}`;
}

/** The first line of a base chain says where it hooks in. */
function declareChain(table: string, name: string, lines: readonly string[]): string {
  const [first = ''] = lines;
  return `add chain ${table} ${name}${isHook(first) ? ` { ${first} }` : ''}`;
}

function rulesOf(lines: readonly string[]): readonly string[] {
  return isHook(lines[0] ?? '') ? lines.slice(1) : lines;
}

function isHook(line: string): boolean {
  return line.startsWith('type ');
}
