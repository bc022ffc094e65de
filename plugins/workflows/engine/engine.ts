import { AppError } from '../../../core/errors.ts';
import { type RunContext, type RunEventInput, RunWaiting, type StepRecord } from '../../../core/run-kind.ts';
import {
  type Change,
  DataBudget,
  isLarger,
  type Outcome,
  type Performed,
  type Plan,
  restore,
  type Step,
  type Transformed,
} from '../../../runtime/graph/index.ts';
import type { NodeDescription } from '../../../runtime/pool/index.ts';
import { executionTooLong, tooDeep } from '../errors.ts';
import { toLargeTransform } from '../nodes/parts/large-transform.ts';
import type { Compiled } from '../service/graphs.ts';
import type { WorkflowOptions } from '../service/parts.ts';
import { LARGE_TRANSFORM } from './control-types.ts';
import { failed, finished, nodeData, started, unresolvedWarning } from './events.ts';
import {
  approvalTooLate,
  inputTooLarge,
  nodeFailure,
  publicError,
  refused,
  resultTooLarge,
  unknownType,
} from './failures.ts';
import { type Frame, isInside, stepKey } from './frame.ts';
import { INLINE_TYPES, perform } from './inline.ts';
import { below, factKey, outcomeKey, outputKey, readFacts, readOutcomes } from './records.ts';
import { resolveConfig, resolveText } from './resolve.ts';
import { type SubWorkflow, subInput } from './sub-workflow.ts';
import { type Decision, decisionOf, momentOf } from './waits.ts';

/** The input of a run of this kind. */
export interface ExecutionInput {
  workflowId: string;
  version: number;
  input: Record<string, unknown>;
  /** Steps of an earlier execution that are kept, see `retry`. */
  reuse?: { executionId: string; fromNode?: string };
  /** An agent has started it: how many of them stand between it and the first workflow. */
  nested?: number;
}

export interface EngineParts {
  options: WorkflowOptions;
  /** A workflow of the run's owner. Without a version the newest. */
  compiled(tenantId: string, workflowId: string, version: number): Promise<Compiled>;
  newest(context: RunContext<ExecutionInput>, workflowId: string): Promise<number>;
  pooled(type: string): NodeDescription | undefined;
  /** What the data of all executions of this process counts in. */
  roof: DataBudget;
  /** Outcomes of an earlier execution that this one begins with. */
  reused(context: RunContext<ExecutionInput>, plan: Plan): Promise<Map<string, Outcome>>;
}

interface Wait {
  frame: Frame;
  step: Step;
  begun: number;
  /** Key under which it is given something; undefined for a delay. */
  gift: string | undefined;
  until: number | undefined;
}

/** How long the main thread may be kept before others get a turn. */
const SLICE_MS = 4;
/** Waits that are over so soon are not worth giving the run's place back. */
const SHORT_WAIT_MS = 1000;
const BATCH = 64;
/** Records on their way to the store before the engine waits for them; a large one counts for many. */
const MAX_UNSTORED = 1000;
const LARGE_BYTES = 32 * 1024;
const LARGE_WEIGHT = 250;
/** Failures that another attempt cannot change. */
const FINAL_CODES = new Set([
  'NODE_RETRIES_EXHAUSTED',
  'NODE_CONFIG_INVALID',
  'NODE_INPUT_INVALID',
  'NODE_UNKNOWN',
  'EXPRESSION_INVALID',
  'TRANSFORM_INVALID',
  'WORKFLOW_INVALID',
  'WORKFLOW_TOO_DEEP',
  'BUDGET_EXCEEDED',
]);
/** Characters of what a person is asked. */
const PROMPT_CHARS = 10_000;
const MODEL_TYPES = new Set(['llm', 'agent']);

/**
 * Carries one workflow out: takes ready steps from the state machine of its graph, does what needs nothing but its input here and
 * now, sends everything else to the worker pool, and stores what becomes of each step. What is done here is deterministic: it is
 * stored in passing and done again after a crash; results of the pool are stored before their successors begin.
 */
export class Engine {
  readonly #context: RunContext<ExecutionInput>;
  readonly #parts: EngineParts;
  readonly #budget: DataBudget;
  readonly #frames = new Set<Frame>();
  readonly #dirty = new Set<Frame>();
  /** Nodes under way in the pool. */
  readonly #controllers = new Map<string, { frame: Frame; controller: AbortController }>();
  readonly #queue: { frame: Frame; step: Step }[] = [];
  readonly #waits = new Map<string, Wait>();
  readonly #begun = new Map<string, number>();
  #recorded: ReadonlyMap<string, Outcome> = new Map();
  #facts: ReadonlyMap<string, unknown> = new Map();
  /** Things under way that end by themselves: nodes, look-ups, pauses before a retry. */
  #underWay = 0;
  #fatal: { error: unknown } | undefined;
  #news = Promise.withResolvers<void>();
  #unstored = 0;
  #stored: Promise<void> = Promise.resolve();
  #slice = 0;
  #shown = '';

  constructor(context: RunContext<ExecutionInput>, parts: EngineParts) {
    this.#context = context;
    this.#parts = parts;
    this.#budget = new DataBudget(parts.options.dataBytes, undefined, parts.roof);
  }

  async execute(): Promise<Record<string, unknown> | RunWaiting> {
    const { input, tenantId, signal } = this.#context;
    const { workflowId, version } = input;
    const { plan } = await this.#parts.compiled(tenantId, workflowId, version);
    const root = await this.#openRoot(plan);
    const onAbort = () => this.#wake();
    signal.addEventListener('abort', onAbort);
    const stopGifts = this.#context.onGiven(onAbort);
    const stopClock = this.#limitTime();
    try {
      return await this.#run(root);
    } finally {
      stopClock();
      stopGifts();
      signal.removeEventListener('abort', onAbort);
      for (const { controller } of this.#controllers.values()) controller.abort();
      this.#budget.close();
    }
  }

  async #openRoot(plan: Plan): Promise<Frame> {
    const { input, finished: done, result } = this.#context;
    const { workflowId, version } = input;
    const keys = done();
    if (keys.length > 0) {
      this.#facts = await readFacts(this.#context, ['until', 'version', 'active']);
      this.#recorded = await readOutcomes({ keys, load: result });
    }
    if (input.reuse && !keys.includes(factKey('reused'))) await this.#reuse(plan);
    const data = { workflow_id: workflowId, version, nodes: plan.nodes.length };
    this.#record([{ key: factKey('begun'), result: true, events: [{ type: 'execution_started', data }] }]);
    return this.#open(plan, input.input, { prefix: '', nodePrefix: '', depth: 1, workflowId, parent: undefined });
  }

  /** Takes over what an earlier execution has done, so that this one does not depend on it any more. */
  async #reuse(plan: Plan): Promise<void> {
    const kept = await this.#parts.reused(this.#context, plan);
    const records = [...kept].map(([key, outcome]): StepRecord => {
      const node = plan.byId.get(key);
      const data = node && { key, node_id: node.id, node_type: node.type, duration_ms: 0, reused: true };
      return {
        key: outcomeKey(key),
        result: outcome,
        events: data && !('error' in outcome) ? [{ type: 'node_finished', data }] : [],
      };
    });
    for (let at = 0; at < records.length; at += BATCH) await this.#context.checkpoint(records.slice(at, at + BATCH));
    await this.#context.checkpoint([{ key: factKey('reused'), result: true }]);
    this.#recorded = new Map([...kept, ...this.#recorded]);
  }

  #open(plan: Plan, input: unknown, place: Omit<Frame, 'execution' | 'closed'>): Frame {
    const execution = restore(plan, input, below(this.#recorded, place.prefix), {
      maxLoopItems: this.#parts.options.loopItems,
      maxOutputBytes: this.#parts.options.outputBytes,
      budget: this.#budget,
    });
    const frame: Frame = { ...place, execution, closed: false };
    this.#frames.add(frame);
    this.#dirty.add(frame);
    return frame;
  }

  async #run(root: Frame): Promise<Record<string, unknown> | RunWaiting> {
    const { signal } = this.#context;
    this.#slice = performance.now();
    for (;;) {
      for (const frame of this.#dirty) await this.#pump(frame);
      signal.throwIfAborted();
      if (this.#fatal) throw this.#fatal.error;
      const { status, result, failure } = root.execution;
      if (status === 'completed') return this.#checked(result ?? {});
      if (failure) throw nodeFailure(failure);
      this.#show(root);
      if (this.#settleWaits()) continue;
      const next = this.#nextMoment();
      const soon = next !== undefined && next - Date.now() <= SHORT_WAIT_MS;
      if (this.#underWay === 0 && !soon) {
        if (this.#waits.size === 0) throw new Error('The workflow can neither go on nor end');
        return this.#rest();
      }
      await this.#untilNews(next);
    }
  }

  /** Several ends give one result together. */
  #checked(result: Record<string, unknown>): Record<string, unknown> {
    const { outputBytes } = this.#parts.options;
    if (isLarger(result, outputBytes)) throw resultTooLarge(outputBytes);
    return result;
  }

  /** Everything that can be done has been done: the run gives its place back until something happens. */
  async #rest(): Promise<RunWaiting> {
    const spent = Math.round(performance.now() - this.#startedAt);
    const key = factKey('active', String(this.#context.attempt));
    await this.#context.checkpoint([{ key, result: spent }]);
    return new RunWaiting(
      [...this.#waits].map(([key, { gift, until }]) => ({
        key: gift ?? key,
        ...(until !== undefined && { until: new Date(until) }),
      })),
    );
  }

  #startedAt = performance.now();

  #limitTime(): () => void {
    this.#startedAt = performance.now();
    const { executionMs } = this.#parts.options;
    let spent = 0;
    for (const [key, value] of this.#facts) if (key.startsWith('x:active:')) spent += Number(value);
    const timer = setTimeout(
      () => {
        this.#fatal ??= { error: executionTooLong(Math.round(executionMs / 60_000)) };
        this.#wake();
      },
      Math.max(1, Math.min(executionMs - spent, 2 ** 31 - 1)),
    );
    timer.unref();
    return () => clearTimeout(timer);
  }

  #wake(): void {
    this.#news.resolve();
  }

  async #untilNews(next: number | undefined): Promise<void> {
    const timer =
      next === undefined
        ? undefined
        : setTimeout(() => this.#wake(), Math.max(0, Math.min(next - Date.now(), 2 ** 31 - 1)));
    await this.#news.promise;
    clearTimeout(timer);
    this.#news = Promise.withResolvers<void>();
    this.#slice = performance.now();
  }

  #touch(frame: Frame): void {
    if (!frame.closed) this.#dirty.add(frame);
    this.#wake();
  }

  /** Progress, when it has changed. */
  #show({ execution }: Frame): void {
    const { progress, currentNode } = execution;
    const shown = `${progress} ${currentNode}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#emit({ type: 'status', data: { status: 'running', progress, current_node: currentNode } });
  }

  #emit({ type, data }: RunEventInput): void {
    void this.#context.emit(type, data);
  }

  #record(records: StepRecord[]): void {
    const weight = records.reduce((sum, { result }) => sum + (isLarger(result, LARGE_BYTES) ? LARGE_WEIGHT : 1), 0);
    this.#unstored += weight;
    this.#stored = this.#context.checkpoint(records).then(
      () => {
        this.#unstored -= weight;
      },
      // The run ends by itself when something cannot be stored.
      () => undefined,
    );
  }

  async #breathe(): Promise<void> {
    if (this.#unstored > MAX_UNSTORED) await this.#stored;
    else await new Promise<void>((resolve) => setImmediate(resolve));
    this.#slice = performance.now();
  }

  /** Begins all steps of a graph that are ready, and what becomes ready by that. */
  async #pump(frame: Frame): Promise<void> {
    this.#dirty.delete(frame);
    if (frame.closed) return;
    const { execution } = frame;
    this.#note(frame, execution.changes());
    for (let steps = execution.ready(BATCH); steps.length > 0; steps = execution.ready(BATCH)) {
      for (const step of steps) {
        if (frame.closed || this.#fatal) return;
        this.#begin(frame, step);
        if (performance.now() - this.#slice <= SLICE_MS && this.#unstored <= MAX_UNSTORED) continue;
        this.#show(this.#rootOf(frame));
        await this.#breathe();
        this.#context.signal.throwIfAborted();
      }
    }
    if (execution.status === 'completed' || execution.status === 'failed') this.#closeFrame(frame);
  }

  #rootOf(frame: Frame): Frame {
    let root = frame;
    while (root.parent) root = root.parent.frame;
    return root;
  }

  /** The graph has ended: what is still under way in it is stopped, and the node that it is the work of ends. */
  #closeFrame(frame: Frame): void {
    this.#stop((other) => isInside(other, frame));
    const { parent, execution } = frame;
    if (!parent) return;
    if (execution.status === 'completed') {
      this.#done(parent.frame, parent.step, { output: execution.result ?? {} }, parent.begun);
    } else if (execution.failure) {
      this.#failed(parent.frame, parent.step, nodeFailure(execution.failure, frame.nodePrefix), parent.begun);
    }
    this.#touch(parent.frame);
  }

  /** Stops everything in the frames that `which` names. */
  #stop(which: (frame: Frame) => boolean): void {
    for (const frame of this.#frames) {
      if (!which(frame)) continue;
      frame.closed = true;
      this.#frames.delete(frame);
      this.#dirty.delete(frame);
      frame.execution.letGo();
    }
    for (const { frame, controller } of this.#controllers.values()) if (which(frame)) controller.abort();
    for (const [key, { frame }] of this.#waits) if (which(frame)) this.#waits.delete(key);
  }

  #begin(frame: Frame, step: Step): void {
    if (step.delayMs > 0) this.#later(frame, step);
    else this.#dispatch(frame, step);
  }

  #dispatch(frame: Frame, step: Step): void {
    const { type } = step;
    if (type === 'delay' || type === 'human') this.#wait(frame, step);
    else if (type === 'workflow') this.#openSub(frame, step);
    else if (this.#isInline(step)) this.#inline(frame, step);
    else this.#toPool(frame, step);
  }

  #isInline({ type, data, input }: Step): boolean {
    if (type !== 'transform') return INLINE_TYPES.has(type) || !this.#parts.pooled(type);
    // These look at single fields, however large the rest is: in a loop every item's input holds the whole list.
    const { mode = 'mapping' } = data;
    if (mode === 'mapping' || (mode === 'compute' && !Array.isArray(input))) return true;
    return !this.#parts.pooled(LARGE_TRANSFORM) || !isLarger(input, this.#parts.options.inlineBytes);
  }

  /** A pause before another attempt. */
  #later(frame: Frame, step: Step): void {
    this.#underWay += 1;
    const timer = setTimeout(() => {
      this.#underWay -= 1;
      if (!frame.closed) this.#dispatch(frame, step);
      this.#touch(frame);
    }, step.delayMs);
    timer.unref();
  }

  // Nodes that need nothing but their input.

  #inline(frame: Frame, step: Step): void {
    const begun = Date.now();
    let performed: Performed;
    try {
      performed = perform(step);
    } catch (error) {
      this.#failed(frame, step, error, begun, [started(frame, step)]);
      return;
    }
    const { output, branch, unresolved } = performed;
    const events = [started(frame, step), ...unresolvedWarning(frame, step, unresolved)];
    this.#done(frame, step, { output, ...(branch !== undefined && { branch }) }, begun, events);
  }

  #done(
    frame: Frame,
    step: Step,
    outcome: { output: unknown; branch?: string },
    begun: number,
    before: RunEventInput[] = [],
  ): void {
    const { output, branch } = outcome;
    try {
      if (!frame.execution.finish(step, output, branch)) return;
    } catch (error) {
      this.#failed(frame, step, error, begun, before);
      return;
    }
    const events = [...before, finished(frame, step, Date.now() - begun, branch)];
    // What only passes through is stored where it comes from: in a loop every item's input holds the whole list.
    const result = output === step.input ? { same: true, ...(branch !== undefined && { branch }) } : outcome;
    this.#record([{ key: outcomeKey(stepKey(frame, step.key)), result, events }]);
    this.#note(frame, frame.execution.changes());
  }

  #failed(frame: Frame, step: Step, error: unknown, begun: number, before: RunEventInput[] = []): void {
    if (!(error instanceof AppError))
      this.#context.log.error({ err: error, step: step.key }, 'workflow: a node failed');
    const record = publicError(error);
    const { execution } = frame;
    if (!execution.fail(step, record, { retryable: !FINAL_CODES.has(record.code) })) return;
    const changes = execution.changes();
    const again = changes.find((change) => change.type === 'retry' && change.key === step.key);
    if (again) for (const event of before) this.#emit(event);
    else {
      const key = outcomeKey(stepKey(frame, step.key));
      const events = [...before, failed(frame, step, Date.now() - begun, record)];
      this.#record([{ key, result: { error: record }, events }]);
    }
    this.#note(frame, changes);
  }

  /** What happened beside the steps: told in the log, each once. */
  #note(frame: Frame, changes: readonly Change[]): void {
    for (const change of changes) {
      const note = this.#noteOf(frame, change);
      if (note) this.#record([note]);
    }
  }

  #noteOf(frame: Frame, change: Change): StepRecord | undefined {
    if (change.type === 'completed' || change.type === 'failed') return undefined;
    const type = frame.execution.plan.byId.get(change.nodeId)?.type ?? '';
    const of = { key: change.key, nodeId: change.nodeId, type };
    const key = stepKey(frame, change.key);
    const told = (what: string, event: RunEventInput, more = ''): StepRecord => ({
      key: factKey(what, key + more),
      result: true,
      events: [event],
    });
    const warning = (zh: string, en: string): RunEventInput => ({
      type: 'log',
      data: { ...nodeData(frame, of), level: 'warn', message: { zh, en } },
    });
    switch (change.type) {
      case 'skipped':
        return told('skip', { type: 'node_skipped', data: { ...nodeData(frame, of), reason: change.reason } });
      case 'retry': {
        const { attempt, delayMs, error } = change;
        this.#emit({ type: 'node_retrying', data: { ...nodeData(frame, of), attempt, delay_ms: delayMs, error } });
        return undefined;
      }
      case 'recovered': {
        const { zh, en } = change.error.message;
        return change.how === 'default'
          ? told('recovered', warning(`节点出错，使用默认值继续：${zh}`, `The node failed, its default is used: ${en}`))
          : told('recovered', warning(`节点出错，继续执行：${zh}`, `The node failed, the execution goes on: ${en}`));
      }
      case 'abandoned':
        this.#abandon(frame, key);
        return undefined;
      case 'loop_started':
        this.#begun.set(key, Date.now());
        return told('loop', {
          type: 'node_started',
          data: { ...nodeData(frame, of), attempt: 1, total: change.total },
        });
      case 'loop_item_failed': {
        const { zh, en } = change.failure.error.message;
        const place = change.index + 1;
        return told(
          'item',
          warning(`循环第 ${place} 项出错：${zh}`, `Item ${place} of the loop failed: ${en}`),
          `[${change.index}]`,
        );
      }
      case 'loop_finished': {
        const begun = this.#begun.get(key) ?? Date.now();
        this.#begun.delete(key);
        return {
          key: outcomeKey(key),
          result: { output: change.output },
          events: [finished(frame, of, Date.now() - begun)],
        };
      }
    }
  }

  #abandon(frame: Frame, key: string): void {
    this.#controllers.get(key)?.controller.abort();
    this.#waits.delete(key);
    this.#stop((other) => other.parent !== undefined && stepKey(other.parent.frame, other.parent.step.key) === key);
    const at = this.#queue.findIndex(({ frame: own, step }) => own === frame && stepKey(own, step.key) === key);
    if (at !== -1) this.#queue.splice(at, 1);
  }

  // Nodes of the worker pool.

  #toPool(frame: Frame, step: Step): void {
    if (this.#controllers.size >= this.#parts.options.nodesAtOnce) {
      this.#queue.push({ frame, step });
      return;
    }
    const begun = Date.now();
    const key = stepKey(frame, step.key);
    const controller = new AbortController();
    this.#controllers.set(key, { frame, controller });
    this.#underWay += 1;
    this.#carryOut(frame, step, controller.signal)
      .then(
        (output) => {
          if (step.type === 'transform') this.#done(frame, step, { output: (output as Transformed).value }, begun);
          else this.#doneInPool(frame, step, output, begun);
        },
        (error: unknown) => {
          // Cancelled, or interrupted: the run ends or goes on elsewhere.
          if (this.#context.signal.aborted || controller.signal.aborted) return;
          this.#failed(frame, step, error, begun);
        },
      )
      .catch((error: unknown) => {
        this.#fatal ??= { error };
      })
      .finally(() => {
        this.#underWay -= 1;
        this.#controllers.delete(key);
        const next = this.#queue.shift();
        if (next && !next.frame.closed) this.#toPool(next.frame, next.step);
        this.#touch(frame);
      });
  }

  /** The result is stored already. */
  #doneInPool(frame: Frame, step: Step, output: unknown, begun: number): void {
    try {
      if (frame.execution.finish(step, output)) this.#note(frame, frame.execution.changes());
    } catch (error) {
      this.#failed(frame, step, error, begun);
    }
  }

  /** What goes to a worker is copied: templates may name one large value many times. */
  #checkSize(...data: unknown[]): void {
    const { outputBytes } = this.#parts.options;
    if (isLarger(data, outputBytes)) throw inputTooLarge(outputBytes);
  }

  async #carryOut(frame: Frame, step: Step, signal: AbortSignal): Promise<unknown> {
    const { type } = step;
    this.#emit(started(frame, step));
    if (type === 'transform') {
      const key = factKey('transform', stepKey(frame, step.key));
      const call = toLargeTransform(step.data, step);
      this.#checkSize(call.input);
      return this.#context.node(key, call, { signal });
    }
    const shape = this.#parts.pooled(type);
    if (!shape) throw unknownType(step.type);
    const { config, unresolved } = resolveConfig(step.data, shape, step.scope);
    for (const warning of unresolvedWarning(frame, step, unresolved)) this.#emit(warning);
    this.#checkSize(config, step.input);
    const begun = Date.now();
    const of = nodeData(frame, step);
    const timeoutMs = step.timeoutMs ?? (MODEL_TYPES.has(type) ? this.#parts.options.modelNodeMs : undefined);
    return this.#context.node(
      outputKey(stepKey(frame, step.key)),
      { type, config, input: step.input ?? null, ...(timeoutMs !== undefined && { timeoutMs }) },
      {
        signal,
        onEvent: (name, data) => ({ type: name, data: { ...data, key: of.key, node_id: of.node_id } }),
        onLog: (level, message, data) =>
          this.#emit({
            type: 'log',
            data: { ...of, level, message: { zh: message, en: message }, ...(data && { data }) },
          }),
        events: () => [finished(frame, step, Date.now() - begun)],
      },
    );
  }

  // Nodes that wait.

  #wait(frame: Frame, step: Step): void {
    const key = stepKey(frame, step.key);
    const begun = Date.now();
    const fact = factKey('until', key);
    try {
      const known = this.#facts.get(fact);
      const isHuman = step.type === 'human';
      const until = known === undefined ? momentOf(step, begun) : known === null ? undefined : Number(known);
      const prompt =
        isHuman && typeof step.data.prompt === 'string'
          ? resolveText(step.data.prompt, step.scope).text.slice(0, PROMPT_CHARS)
          : '';
      const data = {
        ...nodeData(frame, step),
        for: isHuman ? 'approval' : 'time',
        ...(until !== undefined && { until: new Date(until).toISOString() }),
        ...(prompt !== '' && { prompt }),
      };
      const events = [started(frame, step), { type: 'node_waiting', data }];
      this.#record([{ key: fact, result: until ?? null, events }]);
      this.#waits.set(key, { frame, step, begun, until, gift: isHuman ? key : undefined });
    } catch (error) {
      this.#failed(frame, step, error, begun, [started(frame, step)]);
    }
  }

  /** Ends the waits that are over. */
  #settleWaits(): boolean {
    let some = false;
    for (const [key, { frame, step, begun, gift, until }] of this.#waits) {
      const given = gift === undefined ? undefined : this.#context.given(gift);
      const due = until !== undefined && Date.now() >= until;
      if (!given && !due) continue;
      some = true;
      this.#waits.delete(key);
      if (given) this.#decide(frame, step, decisionOf(given.data), begun);
      else if (step.type === 'delay') this.#done(frame, step, { output: step.input }, begun);
      else this.#failed(frame, step, approvalTooLate(), begun);
      this.#dirty.add(frame);
    }
    return some;
  }

  /** An approval that nobody is prepared to see refused fails the node. */
  #decide(frame: Frame, step: Step, decision: Decision, begun: number): void {
    const branch = decision.approved ? 'approved' : 'rejected';
    const node = frame.execution.plan.byId.get(step.nodeId);
    const handled = node?.outgoing.some((edge) => edge.branch === 'rejected') === true;
    if (!decision.approved && !handled) this.#failed(frame, step, refused(decision), begun);
    else this.#done(frame, step, { output: { ...decision, input: step.input }, branch }, begun);
  }

  #nextMoment(): number | undefined {
    let next: number | undefined;
    for (const { until } of this.#waits.values()) {
      if (until !== undefined && (next === undefined || until < next)) next = until;
    }
    return next;
  }

  // Sub-workflows.

  #openSub(frame: Frame, step: Step): void {
    const begun = Date.now();
    this.#underWay += 1;
    this.#findSub(frame, step)
      .then(
        ({ compiled, input }) => {
          if (frame.closed) return;
          const prefix = `${stepKey(frame, step.key)}/`;
          const nodePrefix = `${frame.nodePrefix}${step.nodeId}/`;
          const { workflowId } = compiled;
          this.#open(compiled.plan, input, {
            prefix,
            nodePrefix,
            depth: frame.depth + 1,
            workflowId,
            parent: { frame, step, begun },
          });
        },
        (error: unknown) => this.#failed(frame, step, error, begun),
      )
      .catch((error: unknown) => {
        this.#fatal ??= { error };
      })
      .finally(() => {
        this.#underWay -= 1;
        this.#touch(frame);
      });
  }

  async #findSub(frame: Frame, step: Step): Promise<{ compiled: Compiled; input: unknown }> {
    const { depth } = this.#parts.options;
    const fact = factKey('version', stepKey(frame, step.key));
    this.#record([{ key: factKey('sub', stepKey(frame, step.key)), result: true, events: [started(frame, step)] }]);
    if (frame.depth >= depth) throw tooDeep(depth);
    const workflowId = String(step.data.workflow_id ?? '');
    const known = this.#facts.get(fact) as SubWorkflow | undefined;
    const chosen = known ?? {
      version: await this.#versionOf(step, workflowId),
      input: subInput(step),
    };
    this.#checkSize(chosen.input);
    // The same after a crash, whatever became of the workflow meanwhile.
    this.#record([{ key: fact, result: chosen }]);
    const compiled = await this.#parts.compiled(this.#context.tenantId, workflowId, chosen.version);
    return { compiled, input: chosen.input };
  }

  async #versionOf({ data }: Step, workflowId: string): Promise<number> {
    // Asked for in any case: it tells whether the workflow is the owner's.
    const newest = await this.#parts.newest(this.#context, workflowId);
    const named = Number(data.version);
    return Number.isInteger(named) && named > 0 ? named : newest;
  }
}
