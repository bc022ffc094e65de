/** `npm start`: serves until it is told to stop. */
import { loadSettings } from '../config/settings.ts';
import { AppError } from '../core/errors.ts';
import { type RunningServer, startServer } from './server.ts';

if (process.argv.includes('--help')) {
  console.log(`usage: npm start
Environment, all optional: PORT (8037), HOST (127.0.0.1), MONGODB_URI, REDIS_URL, KOAGENT_DATA_DIR (./data), KOAGENT_MANIFEST,
KOAGENT_JWT_SECRET, KOAGENT_SECRET_KEY, KOAGENT_ADMIN_EMAIL with KOAGENT_ADMIN_PASSWORD, KOAGENT_LOG_LEVEL, and the API keys that config/models.yaml names.`);
  process.exit(0);
}

let server: RunningServer;
try {
  server = await startServer(loadSettings(process.env));
} catch (error) {
  // An expected failure is told in one sentence; a bug with its stack.
  console.error(error instanceof AppError ? `koagent: ${error.message}` : error);
  process.exit(1);
}
server.log.info({ url: server.url, docs: `${server.url}/docs` }, 'koagent is ready');
void server.warmUp();

let stopping = false;
const stop = async (signal: NodeJS.Signals) => {
  // The second signal is from somebody who does not want to wait.
  if (stopping) process.exit(130);
  stopping = true;
  server.log.info({ signal }, 'stopping');
  await server.close();
  process.exit(0);
};
process.on('SIGINT', stop);
process.on('SIGTERM', stop);
