import type { Case, Run } from './script.js';

const grant = (name: string, ttl: number): Run => ({
  run: `lease grant ${ttl}`,
  capture: { [name]: /lease (\w+) granted/ },
});

/** The lease commands of etcdctl. */
export const LEASE_CASES: readonly Case[] = [
  {
    rows: '56 to 58',
    name: 'grant, with the shortest and the longest times',
    steps: [
      grant('L', 60),
      grant('M', 1),
      grant('Z', 0),
      { run: 'lease grant -- -5', capture: { N: /lease (\w+) granted/ } },
      grant('X', 9_000_000_000),
      'lease grant 9000000001',
      'lease grant 9223372036854775807',
      'lease grant x',
      'lease grant',
      'lease timetolive {L}',
      'lease timetolive {X}',
    ],
  },
  {
    rows: '59 to 62',
    name: 'an unknown lease',
    steps: [
      'lease revoke 1234',
      'lease timetolive 1234',
      'lease timetolive 1234 --keys',
      'lease keep-alive --once 1234',
      'lease keep-alive 1234',
      'put l 1 --lease=1234',
      'get l',
      'lease revoke xyz',
    ],
  },
  {
    rows: '63',
    name: 'list',
    steps: [
      { run: 'lease list', anyOrder: true },
      grant('L', 100),
      grant('M', 200),
      grant('N', 300),
      { run: 'lease list', anyOrder: true },
      'lease revoke {M}',
      { run: 'lease list', anyOrder: true },
    ],
  },
  {
    rows: '64',
    name: 'timetolive with keys',
    steps: [
      grant('L', 100),
      'lease timetolive {L} --keys',
      'put k1 v --lease={L}',
      'lease timetolive {L} --keys',
      'put k2 v --lease={L}',
      { run: 'lease timetolive {L} --keys', show: sortedKeys },
      'del k1',
      'lease timetolive {L} --keys',
      'lease timetolive {L} -w json',
      { run: 'lease timetolive {L} --keys -w fields', show: withoutRemaining },
    ],
  },
  {
    rows: '65',
    name: 'revoke deletes the keys in one revision',
    steps: [
      grant('L', 100),
      'put k2 v --lease={L}',
      'put k1 v --lease={L}',
      'put k3 v',
      { start: 'watch k --prefix --rev {r+1} -w json', as: 'w' },
      { sees: 'w', text: 'azM=' },
      'lease revoke {L}',
      { sees: 'w', text: '"type":1', times: 2 },
      { finish: 'w', signal: 'SIGKILL' },
      'get k --prefix -w json',
      'lease revoke {L}',
    ],
  },
  {
    rows: '66',
    name: 'a lease that is not kept alive expires with its keys',
    steps: [
      grant('L', 2),
      'put k v --lease={L}',
      { start: 'watch k --rev {r+1} --prev-kv', as: 'w' },
      { sees: 'w', text: 'DELETE' },
      { finish: 'w', signal: 'SIGKILL' },
      'get k',
      'lease timetolive {L}',
      'get k -w json',
    ],
  },
  {
    name: 'keep-alive, once and for as long as it runs',
    steps: [
      grant('L', 2),
      'put k v --lease={L}',
      'lease keep-alive --once {L}',
      { start: 'lease keep-alive {L}', as: 'keeper' },
      // Five answers take longer than the lease lives unkept.
      { sees: 'keeper', text: 'keepalived with TTL(2)', times: 5 },
      'get k',
      'lease revoke {L}',
      { finish: 'keeper', show: distinctLines },
      'get k',
    ],
  },
  {
    name: 'every command in JSON and fields',
    steps: [
      'lease grant 60 -w json',
      'lease grant 60 -w fields',
      grant('L', 60),
      grant('M', 60),
      'lease timetolive {L} -w json --keys',
      'lease keep-alive --once {L} -w json',
      'lease keep-alive --once {L} -w fields',
      'lease revoke {L} -w json',
      'lease revoke {M} -w fields',
      'lease timetolive {L} -w json',
      'lease list -w json',
      { run: 'lease list -w fields', show: (text) => text.replace(/"ID" : -?\d+/g, '"ID"') },
      'lease list -w table',
    ],
  },
];

/** The number of keepalives depends on time. */
function distinctLines(text: string): string {
  return [...new Set(text.split('\n'))].join('\n');
}

function withoutRemaining(text: string): string {
  return text.replace(/"TTL" : \d+/, '"TTL"');
}

/** The order of a lease's keys is not defined. */
function sortedKeys(text: string): string {
  return text.replace(/\[([^\]]*)\]/, (_, keys: string) => `[${keys.split(' ').sort().join(' ')}]`);
}
