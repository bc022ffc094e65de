import type { NodeDefinition } from '../../core/node.ts';
import { nodeFileInvalid } from './errors.ts';

/** @throws {AppError} NODE_FILE_INVALID */
export async function importNode(url: string): Promise<NodeDefinition> {
  let definition: unknown;
  try {
    ({ default: definition } = await import(url));
  } catch (error) {
    throw nodeFileInvalid(url, error instanceof Error ? error.message : String(error));
  }
  if (!isDefinition(definition)) throw nodeFileInvalid(url, 'its default export is not a node (see defineNode)');
  return definition;
}

function isDefinition(value: unknown): value is NodeDefinition {
  if (typeof value !== 'object' || value === null) return false;
  const { type, version, lane, config, input, output, run } = value as Partial<Record<keyof NodeDefinition, unknown>>;
  return (
    typeof type === 'string' &&
    Number.isInteger(version) &&
    (lane === 'shared' || lane === 'isolated') &&
    [config, input, output].every((schema) => typeof schema === 'object' && schema !== null) &&
    typeof run === 'function'
  );
}
