import { expect } from 'chai';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { baseImage } from '../../../../src/cluster/runtime/images/base-image.js';
import { ImageStore } from '../../../../src/cluster/runtime/images/image-store.js';

describe('the base image', () => {
  let dir = '';
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'mainstay-base-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  /** Says what busybox says of its applets. */
  function program(applets: string[]): string {
    const path = join(dir, 'busybox');
    writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' ${applets.join(' ')}\n`);
    chmodSync(path, 0o755);
    return path;
  }

  it('is the same for the same program', async () => {
    const one = await baseImage(program(['bin/sh', 'usr/bin/wget']));
    expect(await baseImage(program(['bin/sh', 'usr/bin/wget']))).to.deep.include({
      configText: one.configText,
      manifestDigest: one.manifestDigest,
    });
    const other = await baseImage(program(['bin/ls', 'usr/bin/wget']));
    expect(other.configText).to.not.equal(one.configText);
  });

  it('has both tags, and a shell as its command', async () => {
    const options = { dir: join(dir, 'store'), usesOverlay: false, keepsOwners: false };
    const store = new ImageStore(options);
    await store.open();
    await store.add(await baseImage(program(['bin/sh', 'usr/bin/wget'])));
    expect(store.find('busybox')?.id).to.equal(store.find('busybox:1')?.id);
    expect(store.find('busybox')?.config.cmd).to.deep.equal(['sh']);
    expect(store.find('busybox')?.digests).to.have.length(1);
  });
});
