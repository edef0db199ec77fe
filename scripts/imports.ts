import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import {
  cruise,
  type ICruiseOptions,
  type ICruiseResult,
  type IFlattenedRuleSet,
} from 'dependency-cruiser';

/**
 * The import rules of .dependency-cruiser.cjs, checked over a tree; `npm run check` runs it over the project.
 *
 * A parser that understands nothing finds no violations. So the number of modules that were read is
 * compared with the number of files there are. The tests plant one violation for each rule.
 */

export const CHECKED_FOLDERS = ['src', 'test', 'scripts', 'bench', 'jepsen-like'];

export interface Violation {
  readonly rule: string;
  readonly from: string;
  readonly to: string;
}

export interface ImportReport {
  readonly violations: readonly Violation[];
  readonly modulesRead: number;
  readonly filesThere: number;
}

interface RulesFile {
  readonly forbidden: NonNullable<IFlattenedRuleSet['forbidden']>;
  readonly options: ICruiseOptions & { enhancedResolveOptions: object };
}

export function importRules(): RulesFile {
  return createRequire(import.meta.url)('../.dependency-cruiser.cjs') as RulesFile;
}

/** Reads every TypeScript file of the checked folders below `baseDir` and applies the rules. */
export async function checkImports(baseDir: string): Promise<ImportReport> {
  const { forbidden, options } = importRules();
  const files = CHECKED_FOLDERS.flatMap((folder) => sourceFiles(baseDir, folder));
  const { tsConfig: _file, enhancedResolveOptions, ...rest } = options;
  const result = await cruise(
    files,
    { ...rest, baseDir, validate: true, ruleSet: { forbidden } },
    enhancedResolveOptions,
    { tsConfig: { options: {} } },
  );
  if (typeof result.output === 'string') throw new Error('dependency-cruiser answered with text');
  const cruised: ICruiseResult = result.output;
  const dependencyCounts = new Map(
    cruised.modules.map((module) => [module.source, module.dependencies.length]),
  );
  return {
    violations: cruised.summary.violations.map((v) => ({
      rule: v.rule.name,
      from: v.from,
      to: v.to,
    })),
    modulesRead: files.filter((file) => wasRead(join(baseDir, file), dependencyCounts.get(file)))
      .length,
    filesThere: files.length,
  };
}

/** A file that imports something must have come out with dependencies. */
function wasRead(path: string, dependencies: number | undefined): boolean {
  if (dependencies === undefined) return false;
  return dependencies > 0 || !/^import\s/m.test(readFileSync(path, 'utf8'));
}

/** Paths relative to `baseDir`, with forward slashes, sorted. */
function sourceFiles(baseDir: string, folder: string): string[] {
  const found: string[] = [];
  const start = statSync(join(baseDir, folder), { throwIfNoEntry: false });
  if (start === undefined) return found;
  for (const entry of readdirSync(join(baseDir, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) found.push(...sourceFiles(baseDir, path));
    else if (entry.name.endsWith('.ts')) found.push(path);
  }
  return found.sort();
}
