import type { ContractName } from './contract.ts';

/** What a request shows of the API that its client speaks. */
export interface Evidence {
  /** Method and path with unnamed parameters: `GET /tasks/:`. */
  route: string;
  /** Contracts that have this route. */
  candidates: readonly ContractName[];
  /** Whether any candidate asks for a caller here; where none does a token says nothing. */
  authenticated: boolean;
  token: TokenEvidence;
  header(name: string): string | undefined;
  query: Readonly<Record<string, unknown>>;
  /** Values of the path parameters, in order. */
  params: readonly string[];
  /** Keys of the body when it was a JSON object. */
  bodyKeys: readonly string[];
  contentType: 'json' | 'form' | 'none';
}

export type TokenEvidence =
  | { kind: 'none' }
  | { kind: 'api' }
  /** A valid JWT, or one whose unverified audience may choose the form of the 401. */
  | { kind: 'jwt'; audience: readonly ContractName[]; valid: boolean }
  /** Neither a JWT nor a known API token. */
  | { kind: 'opaque' };

/** One contract, or several whose error bodies are sent as one because the request shows nothing. */
export type Choice =
  | { contract: ContractName }
  /** `needed`: fields of which one would have shown the contract. */
  | { merged: readonly ContractName[]; needed: readonly string[] };

type Rule = (evidence: Evidence) => ContractName | undefined;

const has = (evidence: Evidence, ...names: string[]) => names.some((name) => evidence.query[name] !== undefined);
const hasBody = (evidence: Evidence, ...names: string[]) => names.some((name) => evidence.bodyKeys.includes(name));
const tenant: Rule = (e) => (e.header('x-tenant-id') !== undefined ? 'reports' : undefined);
const conversationId: Rule = ({ params: [id = ''] }) =>
  id.startsWith('conv_') ? 'tasks' : id.startsWith('conv-') ? 'research' : undefined;
const taskId: Rule = ({ params: [id = ''] }) =>
  id.startsWith('task_') ? 'reports' : /^[0-9a-f-]{36}$/i.test(id) ? 'tasks' : undefined;

/** Per shared route: what shows the contract, in this order, and what holds when nothing does. */
const SHARED: Readonly<Record<string, { rules: Rule[]; otherwise: ContractName | 'merged'; needed?: string[] }>> = {
  'POST /auth/login': {
    rules: [
      (e) => (e.contentType === 'form' ? 'lowcode' : undefined),
      // A lowcode client with the wrong content type gets lowcode's error, not another API's.
      (e) => (hasBody(e, 'username') && !hasBody(e, 'email') ? 'lowcode' : undefined),
      (e) => (e.contentType === 'json' ? 'research' : undefined),
    ],
    otherwise: 'merged',
  },
  'POST /auth/register': {
    rules: [
      (e) => (hasBody(e, 'username') ? 'lowcode' : undefined),
      (e) => (hasBody(e, 'name') ? 'research' : undefined),
    ],
    otherwise: 'merged',
    needed: ['name', 'username'],
  },
  'GET /users/me': { rules: [], otherwise: 'merged' },
  'GET /agents': {
    rules: [
      (e) => (has(e, 'page', 'page_size') ? 'studio' : undefined),
      (e) => (has(e, 'category') ? 'research' : undefined),
    ],
    otherwise: 'merged',
  },
  'GET /agents/:': {
    rules: [({ params: [id = ''] }) => (/^\d+$/.test(id) ? 'studio' : 'research')],
    otherwise: 'research',
  },
  'POST /conversations': {
    rules: [
      (e) => (hasBody(e, 'agent_id') ? 'studio' : undefined),
      (e) => (hasBody(e, 'agentId', 'projectId', 'modelName') ? 'research' : undefined),
    ],
    otherwise: 'tasks',
  },
  'GET /conversations': {
    rules: [
      (e) => (has(e, 'limit', 'offset') ? 'tasks' : undefined),
      (e) => (has(e, 'page', 'pageSize', 'projectId', 'agentId', 'sortBy', 'sortOrder') ? 'research' : undefined),
    ],
    otherwise: 'tasks',
  },
  'GET /conversations/:': {
    rules: [(e) => (has(e, 'full') ? 'tasks' : undefined), conversationId],
    otherwise: 'research',
  },
  'DELETE /conversations/:': { rules: [conversationId], otherwise: 'research' },
  'GET /tasks/:': {
    rules: [
      tenant,
      (e) => (has(e, 'tenantId') ? 'reports' : undefined),
      (e) => (has(e, 'from') ? 'tasks' : undefined),
      taskId,
    ],
    otherwise: 'merged',
  },
  'POST /tasks/:/cancel': { rules: [tenant, taskId], otherwise: 'merged' },
  'GET /health': { rules: [], otherwise: 'studio' },
};

/** The routes that more than one document claims. */
export const sharedRoutes: readonly string[] = Object.keys(SHARED);

/** Decides which API a request speaks: header, token, then what else the request shows. */
export function chooseContract(evidence: Evidence): Choice {
  let left = [...evidence.candidates];
  const narrow = (names: readonly ContractName[]) => {
    const both = left.filter((name) => names.includes(name));
    if (both.length > 0) left = both;
  };
  const [only] = left;
  if (only !== undefined && left.length === 1) return { contract: only };

  const asked = evidence.header('x-api-contract')?.trim().toLowerCase();
  if (asked !== undefined) narrow(left.filter((name) => name === asked));
  if (evidence.authenticated) narrowByToken(evidence.token, left, narrow);

  const shared = SHARED[evidence.route];
  for (const rule of left.length > 1 ? (shared?.rules ?? []) : []) {
    const name = rule(evidence);
    if (name === undefined || !left.includes(name)) continue;
    left = [name];
    break;
  }
  const [first] = left;
  if (first !== undefined && left.length === 1) return { contract: first };

  if (evidence.token.kind === 'jwt') {
    const named = evidence.token.audience.find((name) => left.includes(name));
    if (named !== undefined) return { contract: named };
    // A valid token of a third API: the caller is known, so there is an answer; the richer form gives it.
    if (evidence.token.valid) return { contract: left.includes('research') ? 'research' : (first ?? 'research') };
  }
  const otherwise = shared?.otherwise ?? 'merged';
  if (otherwise !== 'merged' && left.includes(otherwise)) return { contract: otherwise };
  return { merged: left, needed: shared?.needed ?? [] };
}

function narrowByToken(
  token: TokenEvidence,
  candidates: readonly ContractName[],
  narrow: (names: readonly ContractName[]) => void,
): void {
  if (token.kind === 'api' || token.kind === 'opaque') narrow(['tasks']);
  if (token.kind !== 'jwt') return;
  // JWTs are never API tokens; reports takes the JWT of any login.
  const takesJwt = candidates.filter((name) => name !== 'tasks');
  narrow(takesJwt);
  narrow(takesJwt.filter((name) => token.audience.includes(name)));
}
