/**
 * The grammar of image references (github.com/distribution/reference): a repository, a tag, a
 * digest. Only what decides whether a name can be pulled at all.
 */

const DOMAIN_PART = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const DOMAIN = `(?:${DOMAIN_PART}(?:\\.${DOMAIN_PART})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const PATH_PART = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const TAG = '[\\w][\\w.-]{0,127}';
const DIGEST = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}';
const REFERENCE = new RegExp(
  `^(?:${DOMAIN}/)?${PATH_PART}(?:/${PATH_PART})*(?<tag>:${TAG})?(?<digest>@${DIGEST})?$`,
);

/** The reference with `:latest` when it has neither tag nor digest. Throws: Error in the words of Kubernetes. */
export function withDefaultTag(image: string): string {
  const parts = REFERENCE.exec(image);
  if (parts === null) throw new Error(`couldn't parse image name "${image}": ${whyInvalid(image)}`);
  const { tag, digest } = parts.groups ?? {};
  return tag === undefined && digest === undefined ? `${image}:latest` : image;
}

function whyInvalid(image: string): string {
  if (image !== image.toLowerCase() && REFERENCE.test(image.toLowerCase())) {
    const name = /^[^:@]*/.exec(image)?.[0] ?? image;
    const path = name.includes('/') ? name : `library/${name}`;
    return `invalid reference format: repository name (${path}) must be lowercase`;
  }
  return 'invalid reference format';
}
