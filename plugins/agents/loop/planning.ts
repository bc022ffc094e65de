import type { ToolCall } from '../../../runtime/models/index.ts';
import type { ModelCall, PlannedCall } from './call.ts';

/** Calls of one answer that are carried out; the model is told that the others were not. */
const MAX_CALLS = 16;
/** Calls of one answer that are looked at at all. */
const MOST_CALLS = 64;
const MAX_NAME = 100;
const MAX_ID = 200;

/** Ids of the calls of one answer, by their place: some servers give all of them the same id, or none. */
export function createCallIds(): (index: number, given: string) => string {
  const ids = new Map<number, string>();
  return (index, given) => {
    const known = ids.get(index);
    if (known !== undefined) return known;
    const wanted = given.slice(0, MAX_ID) || 'call';
    const taken = new Set(ids.values());
    let id = wanted;
    for (let number = 2; taken.has(id); number += 1) id = `${wanted}_${number}`;
    ids.set(index, id);
    return id;
  };
}

/** What becomes of the tool calls of an answer. It is stored with the answer, so that it is the same after a crash. */
export function planCalls(
  calls: readonly ToolCall[],
  { tools, clientTools, intents }: Pick<ModelCall, 'tools' | 'clientTools' | 'intents'>,
  idOf: (index: number, given: string) => string,
): PlannedCall[] {
  const names = new Set(tools.map(({ name }) => name));
  const clientNames = new Set(clientTools.map(({ name }) => name));
  const planned = calls.slice(0, MOST_CALLS).map((call, index): PlannedCall => {
    const one = { ...withoutIntent(call, intents), id: idOf(index, call.id), name: call.name.slice(0, MAX_NAME) };
    if (clientNames.has(call.name)) return { ...one, client: true };
    const refused = refusalOf(call, index, names);
    return refused === undefined ? one : { ...one, refused };
  });
  // The caller has to answer all calls that it gets to see, so it sees its own only; the model may ask for the others again.
  const forClient = planned.filter(({ client }) => client);
  return forClient.length > 0 ? forClient : planned;
}

function refusalOf({ name, arguments: args, invalid }: ToolCall, index: number, names: ReadonlySet<string>) {
  if (index >= MAX_CALLS) return `not carried out: more than ${MAX_CALLS} tool calls in one answer`;
  if (!names.has(name)) {
    return `there is no tool ${name.slice(0, MAX_NAME)}; there are: ${[...names].join(', ') || 'none'}`;
  }
  if (args === null) return `the arguments are not a JSON object: ${invalid ?? ''}`;
  return undefined;
}

function withoutIntent(call: ToolCall, intents: readonly string[]): ToolCall & { intent?: string } {
  if (call.arguments === null || !intents.includes(call.name)) return call;
  const { intent, ...rest } = call.arguments;
  return typeof intent === 'string' && intent.trim() !== ''
    ? { ...call, arguments: rest, intent: intent.trim().slice(0, MAX_NAME) }
    : { ...call, arguments: rest };
}
