'use strict';
/**
 * Loads the bundles that the build makes, with V8's compiled code beside them (docs/decisions/0026). CommonJS and plain
 * scripts, because only they take compiled code on every release of Node.js that is supported.
 */
const { existsSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');

const DIST = join(__dirname, '../dist');
/** The last line of a bundle is `//# build=` and as many hexadecimal digits. */
const BUILD_ID_LENGTH = 16;
/** A process that lived so long has compiled what a start needs. */
const KEEP_AFTER_SECONDS = 1;

/** Runs dist/<name>.cjs and returns its exports. Ends the process when there is no such file. */
function loadBundle(name) {
  const path = join(DIST, `${name}.cjs`);
  if (!existsSync(path)) refuse();
  // The bundles are ASCII.
  const source = readFileSync(path, 'latin1');
  const codePath = `${path}.${codeKey(source)}.code`;
  const cachedData = readIfThere(codePath);
  // The text is a function expression, as Node.js makes one of a module's text.
  const script = new Script(source, { filename: path, cachedData });
  if (cachedData === undefined || script.cachedDataRejected === true) keepAtExit(script, codePath);
  const module = { exports: {} };
  script.runInThisContext()(module.exports, requireFrom, module, path, DIST);
  return module.exports;
}

/** What bundles import: other bundles as `./name.cjs`, and packages. */
function requireFrom(specifier) {
  if (specifier.startsWith('./')) return loadBundle(specifier.slice(2, -'.cjs'.length));
  return require(specifier);
}

/** Compiled code is good for one build, one release of V8 and one set of its flags; V8 itself compares only lengths. */
function codeKey(source) {
  const build = source.trimEnd().slice(-BUILD_ID_LENGTH);
  const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ''];
  const flags = given.join('').replace(/[^a-z0-9]+/gi, '-');
  return `${build}-${process.version}-${process.arch}${flags}`.slice(0, 160);
}

function readIfThere(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** Keeps the compiled code for the next start, where this user may write beside the bundles. */
function keepAtExit(script, path) {
  process.on('exit', (code) => {
    if (code !== 0 || (process.uptime() < KEEP_AFTER_SECONDS && !isRecording())) return;
    const temporary = `${path}.${process.pid}`;
    try {
      writeFileSync(temporary, script.createCachedData(), { flag: 'wx' });
      renameSync(temporary, path);
    } catch {
      // An installation of another user: starts stay a little slower.
    }
  });
}

/** The build runs each bundle once, to have its code kept. */
function isRecording() {
  return process.env.MAINSTAY_KEEP_CODE === '1';
}

function refuse() {
  const isCheckout = existsSync(join(__dirname, '../src'));
  process.stderr.write(
    isCheckout
      ? 'mainstay: this checkout is not built yet\n  next step: npm install && npm run build\n'
      : 'mainstay: this installation has no program in it: dist/ is missing\n' +
          '  next step: install the package again\n',
  );
  process.exit(1);
}

module.exports = { loadBundle };
