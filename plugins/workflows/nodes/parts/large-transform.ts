import {
  expressionPaths,
  type MappingSource,
  type Path,
  parseTransform,
  pathText,
  type Transform,
  type TransformContext,
  templatePaths,
} from '../../../../runtime/graph/index.ts';

export interface LargeTransformInput {
  input: unknown;
  predecessors: { id: string; output: unknown }[];
  /** What the scope gave for every path that the transform names, by the path's text. */
  found: [string, unknown][];
}

/**
 * What the node `transform.large` is called with, so that it gives what `transform` would give here.
 *
 * @param data of the transform node
 * @throws {AppError} TRANSFORM_INVALID, EXPRESSION_INVALID
 */
export function toLargeTransform(
  data: Readonly<Record<string, unknown>>,
  { input, predecessors, scope }: TransformContext,
): { type: 'transform.large'; config: { data: Record<string, unknown> }; input: LargeTransformInput } {
  const found = new Map<string, unknown>();
  for (const path of transformPaths(parseTransform(data))) {
    const value = scope.lookup(path);
    if (value !== undefined) found.set(pathText(path), value);
  }
  return {
    type: 'transform.large',
    config: { data: { ...data } },
    input: { input: input ?? null, predecessors: [...predecessors], found: [...found] },
  };
}

/** Every path that a transform may look up in its scope. */
function transformPaths({ mapping, filter, compute, itemsPath, sources }: Transform): Path[] {
  return [
    ...mapping.flatMap(({ from }) => sourcePaths(from)),
    ...filter.flatMap(({ value }) => sourcePaths(value)),
    ...compute.flatMap(({ expression }) => expressionPaths(expression)),
    ...(itemsPath ? [itemsPath] : []),
    ...(sources ?? []).map((id): Path => [id]),
  ];
}

const sourcePaths = (source: MappingSource): Path[] =>
  source.kind === 'path' ? [source.path] : source.kind === 'template' ? templatePaths(source.template) : [];
