/**
 * Turns proto/*.proto into src/gen/*.ts: types, binary codecs, JSON mappings and tables of RPCs; and
 * proto/kubernetes/*.txt into types and the schema table of the Kubernetes API.
 *
 * Files are written only when their content changes; files that are no longer generated are
 * removed. Run by `npm run gen`. The form of the code is decided in scripts/gen/.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { emitFile } from './gen/codec.js';
import { emitKube } from './gen/kube.js';
import { loadRoot, readModel } from './gen/model.js';
import { emitJsonCodecs, emitServices } from './gen/services.js';

const home = fileURLToPath(new URL('..', import.meta.url));
const protoDir = join(home, 'proto');
const outDir = join(home, 'src', 'gen');

function main(): void {
  const protos = readdirSync(protoDir).filter((name) => name.endsWith('.proto'));
  const model = readModel(
    loadRoot(
      protoDir,
      protos.map((name) => join(protoDir, name)),
    ),
  );
  const outputs = new Map<string, string>();
  for (const file of model.files) outputs.set(`${file.name}.ts`, emitFile(file));
  outputs.set('services.ts', emitServices(model.methods));
  outputs.set('json-codecs.ts', emitJsonCodecs(model.methods));
  for (const [name, text] of emitKube(join(protoDir, 'kubernetes'))) outputs.set(name, text);

  mkdirSync(outDir, { recursive: true });
  const present = new Set(readdirSync(outDir));
  for (const [name, text] of outputs) {
    const path = join(outDir, name);
    if (!present.has(name) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
  }
  for (const name of present) if (!outputs.has(name)) rmSync(join(outDir, name));
}

main();
