import { join } from 'node:path';
import { databaseService } from '../../core/data/database.ts';
import { definePlugin } from '../../core/plugin.ts';
import { oneOf, Type } from '../../core/schema.ts';
import { changeModel } from './models/change.ts';
import { fileService } from './public.ts';
import { taskRoutes } from './routes/tasks.ts';
import { createFileService } from './service.ts';
import { createFileStore } from './store.ts';
import { fileTools } from './tools/index.ts';

export default definePlugin({
  name: 'files',
  config: Type.Object({
    fileMb: Type.Integer({ minimum: 1, maximum: 1024, default: 50, description: 'largest file, MiB' }),
    accountMb: Type.Integer({ minimum: 1, default: 2048, description: 'all files of one account, MiB' }),
    toolsFor: oneOf(['api', 'everyone'], {
      default: 'api',
      description: 'whose agents get the file tools: those of API accounts, or of all accounts',
    }),
  }),
  requires: { database: databaseService },
  provides: { files: fileService },

  setup({ config, services: { database }, dataDir }) {
    const store = createFileStore({
      root: join(dataDir, 'files'),
      fileBytes: config.fileMb * 1024 * 1024,
      quota: config.accountMb * 1024 * 1024,
    });
    const files = createFileService(store);
    return {
      services: { files },
      routes: [taskRoutes(files, store.options.fileBytes)],
      tools: fileTools({ store, changes: changeModel(database), files, everyone: config.toolsFor === 'everyone' }),
      ready: () => store.sweep(),
    };
  },
});
