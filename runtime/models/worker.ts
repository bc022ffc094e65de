import type { ModelsConfig } from './config.ts';
import { createModelGateway } from './index.ts';
import type { ModelGateway } from './types.ts';

/** Makes the gateway of a worker thread from the configuration that the host sends along. */
export default (config: ModelsConfig): ModelGateway => createModelGateway(config);
