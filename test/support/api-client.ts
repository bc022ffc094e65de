export interface Answer {
  status: number;
  headers: Headers;
  /** Parsed when the answer is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read bodies of documented shapes and assert on them
  body: any;
  text: string;
}

export interface CallOptions {
  token?: string;
  tenant?: string;
  /** A plain value travels as JSON; text, bytes and forms as they are. */
  body?: unknown;
  headers?: Record<string, string>;
}

/** Sends one request below `/api/v1` of a server. */
export async function callApi(url: string, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { token, tenant, body, headers = {} } = options;
  const raw =
    body instanceof FormData ||
    body instanceof URLSearchParams ||
    body instanceof Uint8Array ||
    typeof body === 'string';
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(tenant !== undefined && { 'x-tenant-id': tenant }),
      ...(body !== undefined && !raw && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: raw ? (body as string) : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true && text !== '';
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : undefined, text };
}
