/** The grammar of label selectors: `a=b,c!=d,e in (f,g),h,!i,j>5`. */
import {
  keyProblems,
  requirementOf,
  type Requirement,
  type SelectorOperator,
} from './requirement.js';
import { badRequest } from './status.js';

const TOKEN = /[ \t\r\n]*(==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+|$)/y;

const BINARY: ReadonlyMap<string, SelectorOperator> = new Map([
  ['in', 'in'],
  ['notin', 'notin'],
  ['=', '='],
  ['==', '=='],
  ['!=', '!='],
  ['>', 'gt'],
  ['<', 'lt'],
]);

export class SelectorParser {
  private readonly tokens: string[] = [];
  private at = 0;

  constructor(text: string) {
    TOKEN.lastIndex = 0;
    for (;;) {
      const [, token = ''] = TOKEN.exec(text) ?? [];
      if (token === '') return;
      this.tokens.push(token);
    }
  }

  requirements(): Requirement[] {
    const list: Requirement[] = [];
    while (this.peek() !== '') {
      const token = this.peek();
      if (!startsRequirement(token))
        throw badRequest(`found '${token}', expected: !, identifier, or 'end of string'`);
      list.push(this.requirement());
      const next = this.take();
      if (next === '') break;
      if (next !== ',') throw badRequest(`found '${next}', expected: ',' or 'end of string'`);
      if (!startsRequirement(this.peek()))
        throw badRequest(`found '${this.peek()}', expected: identifier after ','`);
    }
    return list;
  }

  private requirement(): Requirement {
    try {
      return this.readRequirement();
    } catch (error) {
      if (error instanceof Error) throw badRequest(`unable to parse requirement: ${error.message}`);
      throw error;
    }
  }

  private readRequirement(): Requirement {
    const isNegated = this.peek() === '!';
    if (isNegated) this.take();
    const key = this.take();
    if (!isIdentifier(key)) throw badRequest(`found '${key}', expected: identifier`);
    const [problem] = keyProblems('', key);
    if (problem !== undefined) throw badRequest(problem);
    if (isNegated) return requirementOf(key, '!', []);
    if (this.peek() === '' || this.peek() === ',') return requirementOf(key, 'exists', []);
    const token = this.take();
    const operator = BINARY.get(token);
    if (operator === undefined)
      throw badRequest(`found '${token}', expected: in, notin, =, ==, !=, gt, lt`);
    const isSet = operator === 'in' || operator === 'notin';
    return requirementOf(key, operator, isSet ? this.valueList() : [this.exactValue()]);
  }

  private exactValue(): string {
    if (this.peek() === '' || this.peek() === ',') return '';
    const token = this.take();
    if (!isIdentifier(token)) throw badRequest(`found '${token}', expected: identifier`);
    return token;
  }

  /** Values between parentheses; where one is missing it is empty. */
  private valueList(): string[] {
    const open = this.take();
    if (open !== '(') throw badRequest(`found '${open}' expected: '('`);
    const first = this.peek();
    if (first !== ')' && first !== ',' && !isIdentifier(first))
      throw badRequest(`found '${first}', expected: ',', ')' or identifier`);
    const values: string[] = [];
    let isAfterComma = true;
    for (let token = this.take(); token !== ')'; token = this.take()) {
      if (token === ',') {
        if (isAfterComma) values.push('');
        isAfterComma = true;
      } else if (isIdentifier(token) && isAfterComma) {
        values.push(token);
        isAfterComma = false;
      } else {
        const expected = isAfterComma ? "',', or identifier" : "',' or ')'";
        throw badRequest(`found '${token}', expected: ${expected}`);
      }
    }
    return isAfterComma ? [...values, ''] : values;
  }

  /** Empty at the end. */
  private peek(): string {
    return this.tokens[this.at] ?? '';
  }

  private take(): string {
    return this.tokens[this.at++] ?? '';
  }
}

function isIdentifier(token: string): boolean {
  return token !== '' && !/^[=!(),<>]/.test(token);
}

function startsRequirement(token: string): boolean {
  return token === '!' || isIdentifier(token);
}
