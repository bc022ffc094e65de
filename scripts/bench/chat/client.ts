import { Agent, request } from 'node:http';

export interface Answer {
  /** Milliseconds to the first token, without what the endpoint itself took. */
  overhead: number;
  tokens: number;
}

export interface Ask {
  url: string;
  /** Bearer value; empty: none. */
  token: string;
  body: Record<string, unknown>;
}

/** What the endpoint is to answer with. */
export const wish = (tokens: number, pauseMs: number) => `${tokens} tokens, ${pauseMs} ms apart`;

// Each answer over a connection of its own, as clients that come and go.
const agent = new Agent({ keepAlive: false, maxSockets: 10_000 });
const now = () => performance.timeOrigin + performance.now();

/** Reads one answer to its end. The endpoint and the server under test read the same clock. */
export function ask({ url, token, body }: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const begin = now();
    const content = JSON.stringify(body);
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(content),
      ...(token !== '' && { authorization: `Bearer ${token}` }),
    };
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      let overhead = Number.NaN;
      let tail = '';
      let tokens = 1;
      response.setEncoding('utf8').on('data', (text: string) => {
        if (Number.isNaN(overhead)) {
          const marks = /@([\d.]+),([\d.]+)@/.exec(tail + text);
          if (marks) overhead = now() - begin - (Number(marks[2]) - Number(marks[1]));
        }
        tokens += text.split(' word').length - 1;
        tail = (tail + text).slice(-500);
      });
      response.on('error', reject);
      response.on('end', () => {
        const whole = response.statusCode === 200 && tail.includes('[DONE]') && !Number.isNaN(overhead);
        if (whole) resolve({ overhead, tokens });
        else reject(new Error(`${response.statusCode} ${tail}`));
      });
    });
    sent.on('error', reject);
    sent.end(content);
  });
}

export interface Round {
  seconds: number;
  answers: Answer[];
  failures: Error[];
}

/** Asks for all of them; each begins so many milliseconds after the one before. */
export async function askAll(asks: readonly Ask[], everyMs = 0): Promise<Round> {
  const begin = performance.now();
  const outcomes = await Promise.allSettled(
    asks.map(async (one, at) => {
      if (everyMs > 0) await new Promise((resolve) => setTimeout(resolve, at * everyMs));
      return ask(one);
    }),
  );
  return {
    seconds: (performance.now() - begin) / 1000,
    answers: outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : [])),
    failures: outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : [])),
  };
}
