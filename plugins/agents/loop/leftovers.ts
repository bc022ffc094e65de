import type { Principal } from '../../../core/principal.ts';
import type { RunEvent, RunService } from '../../../runtime/runs/service.ts';
import type { Leftovers } from './writer.ts';

const PAGE = 1000;

/**
 * What earlier attempts of a run left in the log of an iteration that has no result: undefined when nothing of it was written, or
 * everything of it was closed by an attempt in between.
 *
 * @param since type of the event after which the iteration began
 */
export async function findLeftovers(
  runs: RunService,
  run: { principal: Principal; runId: string },
  since: 'ai_message_start' | 'token_update',
): Promise<Leftovers | undefined> {
  const { principal, runId } = run;
  const logId = (await runs.get(principal, runId))?.logId ?? runId;
  const begin = await runs.lastEvent(principal, logId, [since]);
  if (begin?.runId !== runId) return undefined;
  const fold = createFold();
  for (let from = begin.seq + 1; ; from += PAGE) {
    const events = await runs.events(principal, logId, from, PAGE);
    for (const event of events) if (event.runId === runId) fold.take(event);
    if (events.length < PAGE) return fold.left();
  }
}

function createFold() {
  let begun = false;
  let block: { kind: 'thinking' | 'text'; content: string } | undefined;
  const tools = new Set<string>();
  return {
    take({ type, data }: RunEvent) {
      switch (type) {
        case 'thinking_start':
        case 'text_start':
          begun = true;
          block = { kind: type === 'text_start' ? 'text' : 'thinking', content: '' };
          break;
        case 'thinking_chunk':
        case 'text_chunk':
          if (block) block.content += String(data.content);
          break;
        case 'thinking_end':
        case 'text_end':
          block = undefined;
          break;
        case 'tool_preparing':
          begun = true;
          tools.add(String(data.id));
          break;
        case 'update_action':
          tools.delete(String(data.preparing_id));
          break;
        case 'system_message':
          // An attempt in between has closed it all.
          if (data.discards_iteration !== undefined) begun = false;
          break;
      }
    },
    left: (): Leftovers | undefined => (begun ? { block, tools: [...tools] } : undefined),
  };
}
