import { AppError } from '../../../core/errors.ts';
import type { ModelGateway } from '../../../runtime/models/index.ts';
import { ModelNameError } from '../errors.ts';

/**
 * The key of a configured model.
 *
 * @param field what the caller calls it
 * @throws {ModelNameError}
 */
export function knownModel(models: Pick<ModelGateway, 'resolve'>, field: string, name: string): string {
  try {
    return models.resolve(name, { unknown: 'error' }).key;
  } catch (error) {
    if (error instanceof AppError && error.code === 'MODEL_UNKNOWN') throw new ModelNameError(field, name);
    throw error;
  }
}
