import { AppError, type ErrorRecord, toErrorRecord } from '../../../core/errors.ts';
import { DataBudget, outputTooLarge } from '../budget.ts';
import { GRAPH_LIMITS } from '../limits.ts';
import { pathText } from '../path.ts';
import type { Plan, PlanNode } from '../plan.ts';
import { retryDelay } from '../policy.ts';
import { sizeOf } from '../size.ts';
import type { Change, ExecutionOptions, ExecutionStatus, Failure, Outcome, Step } from '../types.ts';
import { truthy } from '../values.ts';
import { createFrame, type Frame, isTaken, keyOf, type LoopState, loopOf, Status } from './frame.ts';
import { errorText, graphResult, iterationResult, loopOutput } from './result.ts';
import { ExecutionStep } from './step.ts';

type Work =
  | { what: 'decide'; frame: Frame; node: PlanNode }
  | { what: 'close'; frame: Frame }
  | { what: 'iterate'; frame: Frame; node: PlanNode; state: LoopState };

/**
 * The state machine of one execution. It decides what runs, and never waits, reads a clock or carries anything out:
 * take `ready()` steps, carry them out in any order, report each with `finish` or `fail`, until `status` is terminal.
 *
 * The outcome equals that of carrying out one node after the other in the order of the plan, whatever the order of the reports:
 * a failure stops what comes behind it in that order and waits for what comes before it.
 */
export class Execution {
  readonly plan: Plan;
  readonly input: unknown;
  readonly #options: Required<Omit<ExecutionOptions, 'budget'>>;
  readonly #budget: DataBudget;
  /** This execution's part of the budget. */
  #held = 0;
  readonly #root: Frame;
  readonly #work: Work[] = [];
  #queue: ExecutionStep[] = [];
  #head = 0;
  #progress = 0;
  readonly #running = new Map<string, ExecutionStep>();
  #changes: Change[] = [];
  #status: ExecutionStatus = 'pending';
  #result: Record<string, unknown> | undefined;
  #recorded: ReadonlyMap<string, Outcome> | undefined;
  #steps = 0;

  /** @param input the `input_data` of the execution */
  constructor(plan: Plan, input: unknown, options: ExecutionOptions = {}) {
    this.plan = plan;
    this.input = input;
    this.#options = {
      maxLoopItems: options.maxLoopItems ?? GRAPH_LIMITS.loopItems,
      maxSteps: options.maxSteps ?? GRAPH_LIMITS.steps,
      language: options.language ?? 'zh',
      failFast: options.failFast ?? false,
      maxOutputBytes: options.maxOutputBytes ?? GRAPH_LIMITS.outputBytes,
    };
    this.#budget = options.budget ?? new DataBudget(GRAPH_LIMITS.dataBytes);
    this.#root = createFrame(plan.root, undefined, '', 0);
  }

  get status(): ExecutionStatus {
    return this.#status;
  }

  /** The result of a completed execution; always an object. */
  get result(): Record<string, unknown> | undefined {
    return this.#result;
  }

  /** Why the execution failed. */
  get failure(): Failure | undefined {
    return this.#status === 'failed' ? this.#root.failure : undefined;
  }

  /** Id of the node that has been running longest; null when nothing runs. */
  get currentNode(): string | null {
    const [first] = this.#running.values();
    return first?.nodeId ?? null;
  }

  /** Steps that were taken and not reported yet, oldest first. */
  get running(): Step[] {
    return [...this.#running.values()];
  }

  /** Finished and skipped nodes in percent of all; a loop counts by its iterations. Never falls; 100 only when completed. */
  get progress(): number {
    if (this.#status === 'completed') return 100;
    const all = this.plan.nodes.length;
    const settled = settledWeight(this.#root) + (this.#status === 'pending' ? 0 : this.plan.unreachable.length);
    this.#progress = Math.max(this.#progress, Math.min(99, Math.floor((settled / all) * 100)));
    return this.#progress;
  }

  /** @param recorded outcomes of an earlier attempt by key: their steps are not handed out again */
  start(recorded?: ReadonlyMap<string, Outcome>): void {
    if (this.#status !== 'pending') return;
    this.#status = 'running';
    this.#recorded = recorded?.size ? recorded : undefined;
    for (const node of this.plan.unreachable) {
      this.#changes.push({ type: 'skipped', key: node.keyPart, nodeId: node.id, reason: 'unreachable' });
    }
    this.#open(this.#root);
    this.#drain();
  }

  /** Steps that became ready since the last call and have not been handed out; at most `limit`, the others come later. */
  ready(limit = Number.POSITIVE_INFINITY): Step[] {
    const taken: ExecutionStep[] = [];
    while (this.#head < this.#queue.length && taken.length < limit) {
      const step = this.#queue[this.#head];
      this.#head += 1;
      if (!step || this.#isStale(step, Status.ready)) continue;
      step.frame.status[step.node.position] = Status.running;
      this.#running.set(step.key, step);
      taken.push(step);
    }
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    }
    return taken;
  }

  /** What happened since the last call. */
  changes(): Change[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  /**
   * Reports the output of a step.
   *
   * @param branch the handle that a branching node chose (`true` or `false` of a condition); edges with other handles are not taken
   * @returns false when the result is not wanted any more: the step was abandoned or reported before
   * @throws {AppError} OUTPUT_TOO_LARGE, EXECUTION_DATA_TOO_LARGE: the step is still to be reported, as failed
   */
  finish(step: Step, output: unknown, branch?: string): boolean {
    const own = this.#wanted(step);
    if (!own) return false;
    const size = output === own.input ? 0 : this.#measured(output);
    this.#budget.take(size);
    this.#held += size;
    this.#running.delete(own.key);
    this.#done(own.frame, own.node, output, branch, size);
    this.#drain();
    return true;
  }

  /** Nobody needs its data any more: its part of the budget is free again. */
  letGo(): void {
    this.#giveBack(this.#held);
  }

  /**
   * Reports that an attempt failed. It is repeated, or its error policy or its loop decides.
   *
   * @param retryable false: never try again, whatever the policy says
   * @returns false when nobody wants to know any more
   */
  fail(step: Step, error: unknown, { retryable = true }: { retryable?: boolean } = {}): boolean {
    const own = this.#wanted(step);
    if (!own) return false;
    this.#running.delete(own.key);
    const record = asRecord(error);
    const { frame, node, attempt } = own;
    if (retryable && record.kind !== 'cancelled' && attempt <= node.policy.retry.max) {
      const delayMs = retryDelay(node.policy, attempt);
      const next = attempt + 1;
      frame.status[node.position] = Status.ready;
      frame.attempts.set(node.position, next);
      this.#queue.push(new ExecutionStep(this.plan, this.input, frame, node, next, delayMs));
      this.#changes.push({ type: 'retry', key: own.key, nodeId: node.id, attempt: next, delayMs, error: record });
      return true;
    }
    this.#failed(frame, node, record);
    this.#drain();
    return true;
  }

  get #openSteps(): number {
    return this.#queue.length - this.#head + this.#running.size;
  }

  #wanted(step: Step): ExecutionStep | undefined {
    const own = this.#running.get(step.key);
    return own !== step || own === undefined || this.#isStale(own, Status.running) ? undefined : own;
  }

  /** @throws {AppError} OUTPUT_TOO_LARGE */
  #measured(output: unknown): number {
    const { maxOutputBytes } = this.#options;
    const size = sizeOf(output, maxOutputBytes);
    if (size > maxOutputBytes) throw outputTooLarge(maxOutputBytes);
    return size;
  }

  #add(bytes: number): void {
    this.#budget.add(bytes);
    this.#held += bytes;
  }

  #giveBack(bytes: number): void {
    this.#budget.give(bytes);
    this.#held -= bytes;
  }

  #isStale({ frame, node }: ExecutionStep, wanted: Status): boolean {
    return this.#status !== 'running' || frame.status[node.position] !== wanted;
  }

  #drain(): void {
    for (let work = this.#work.pop(); work; work = this.#work.pop()) {
      if (this.#status !== 'running') {
        this.#work.length = 0;
        return;
      }
      if (work.what === 'decide') this.#decide(work.frame, work.node);
      else if (work.what === 'close') this.#close(work.frame);
      else this.#iterate(work.frame, work.node, work.state);
    }
  }

  /** Begins a frame: edges from outside are settled by now. */
  #open(frame: Frame): void {
    for (const edge of frame.scope.outer) {
      let source: Frame | undefined = frame.parent;
      while (source && source.scope !== edge.from.scope) source = source.parent;
      const at = edge.to.position;
      if (source && isTaken(source, edge)) frame.taken[at] = (frame.taken[at] ?? 0) + 1;
    }
    if (frame.open === 0) this.#work.push({ what: 'close', frame });
    const { nodes } = frame.scope;
    for (let at = nodes.length - 1; at >= 0; at -= 1) {
      const node = nodes[at];
      if (node && frame.pending[at] === 0) this.#work.push({ what: 'decide', frame, node });
    }
  }

  /** All that leads to the node is settled: it runs or is skipped. */
  #decide(frame: Frame, node: PlanNode): void {
    const at = node.position;
    if (at >= frame.failedAt || frame.status[at] !== Status.waiting) return;
    if ((frame.taken[at] ?? 0) === 0) {
      const ran = node.incoming.some(
        ({ from, kind }) => kind === 'flow' && frame.status[from.position] === Status.done,
      );
      const reason = ran ? 'branch_not_taken' : 'predecessors_skipped';
      this.#changes.push({ type: 'skipped', key: keyOf(frame, node), nodeId: node.id, reason });
      this.#settle(frame, node, Status.skipped);
      return;
    }
    const recorded = this.#recorded?.get(keyOf(frame, node));
    if (recorded) {
      if ('error' in recorded) this.#failed(frame, node, recorded.error);
      else if ('same' in recorded) this.#done(frame, node, this.#inputOf(frame, node), recorded.branch);
      else {
        // It was within the limits when it was recorded.
        const size = sizeOf(recorded.output, this.#options.maxOutputBytes);
        this.#add(size);
        this.#done(frame, node, recorded.output, recorded.branch, size);
      }
      return;
    }
    if (node.loop) {
      this.#beginLoop(frame, node);
      return;
    }
    this.#steps += 1;
    if (this.#steps > this.#options.maxSteps) {
      const { maxSteps } = this.#options;
      this.#stop(frame, node, {
        kind: 'too_large',
        code: 'TOO_MANY_STEPS',
        message: { zh: `执行步数超过上限 ${maxSteps}`, en: `more than ${maxSteps} steps` },
      });
      return;
    }
    frame.status[at] = Status.ready;
    this.#queue.push(new ExecutionStep(this.plan, this.input, frame, node, frame.attempts.get(at) ?? 1, 0));
  }

  #inputOf(frame: Frame, node: PlanNode): unknown {
    return new ExecutionStep(this.plan, this.input, frame, node, 1, 0).input;
  }

  /** @param size what the output counts in the budget, where it has been added already */
  #done(frame: Frame, node: PlanNode, output: unknown, branch: string | undefined, size = 0): void {
    frame.outputs[node.position] = output ?? null;
    if (size > 0) {
      frame.sizes[node.position] = size;
      frame.held += size;
    }
    if (branch !== undefined) frame.branches.set(node.position, branch.toLowerCase());
    this.#settle(frame, node, Status.done);
  }

  #settle(frame: Frame, node: PlanNode, status: Status): void {
    frame.status[node.position] = status;
    frame.settled += node.weight;
    const { outgoing, awaitedBy } = node;
    // Last in, first out: pushed backwards, so that successors are decided in the order of the plan.
    for (let at = outgoing.length - 1; at >= 0; at -= 1) {
      const edge = outgoing[at];
      if (!edge) continue;
      if (isTaken(frame, edge)) frame.taken[edge.to.position] = (frame.taken[edge.to.position] ?? 0) + 1;
      this.#release(frame, edge.to);
    }
    for (const loop of awaitedBy) this.#release(frame, loop);
    frame.open -= 1;
    if (frame.open === 0) this.#work.push({ what: 'close', frame });
  }

  #release(frame: Frame, node: PlanNode): void {
    const left = (frame.pending[node.position] ?? 0) - 1;
    frame.pending[node.position] = left;
    if (left === 0) this.#work.push({ what: 'decide', frame, node });
  }

  /** A node failed for good: its policy decides, else its frame fails. */
  #failed(frame: Frame, node: PlanNode, error: ErrorRecord, failure?: Failure): void {
    const { onError, defaultValue } = node.policy;
    const key = keyOf(frame, node);
    if (onError === 'fail') {
      this.#stop(frame, node, error, failure);
      return;
    }
    frame.errors.set(node.position, error);
    this.#changes.push({ type: 'recovered', key, nodeId: node.id, how: onError, error });
    const value = onError === 'default' ? defaultValue : null;
    if (node.type !== 'condition') {
      this.#done(frame, node, value, undefined);
      return;
    }
    this.#done(frame, node, this.#inputOf(frame, node), String(truthy(value)));
  }

  /** The frame fails at this node, unless it has failed before it: what comes behind is not begun, what runs there is abandoned. */
  #stop(frame: Frame, node: PlanNode, error: ErrorRecord, failure?: Failure): void {
    const from = node.position;
    frame.status[from] = Status.failed;
    const { nodes } = frame.scope;
    for (let at = from; at < frame.failedAt; at += 1) {
      const status = frame.status[at];
      if (status !== Status.done && status !== Status.skipped) frame.open -= 1;
      const other = nodes[at];
      if (other && at > from) this.#abandon(frame, other);
    }
    frame.failedAt = from;
    frame.failure = failure ?? { nodeId: node.id, key: keyOf(frame, node), error };
    if (this.#options.failFast && !frame.parent) {
      for (const other of nodes) this.#abandon(frame, other);
      frame.open = 0;
    }
    if (frame.open === 0) this.#work.push({ what: 'close', frame });
  }

  #abandon(frame: Frame, node: PlanNode): void {
    const status = frame.status[node.position];
    if (status !== Status.running && status !== Status.ready) return;
    frame.status[node.position] = Status.waiting;
    const state = frame.loops.get(node.position);
    if (state) {
      for (const live of state.live.values()) this.#abandonFrame(live);
      frame.loops.delete(node.position);
      this.#giveBack(state.held);
      return;
    }
    const key = keyOf(frame, node);
    if (this.#running.delete(key)) this.#changes.push({ type: 'abandoned', key, nodeId: node.id });
  }

  #abandonFrame(frame: Frame): void {
    frame.failedAt = 0;
    this.#giveBack(frame.held);
    for (const node of frame.scope.nodes) this.#abandon(frame, node);
  }

  #close(frame: Frame): void {
    const loop = loopOf(frame);
    if (frame.parent && loop?.state.live.get(frame.index) !== frame) return;
    if (!loop) {
      if (frame.failure) {
        this.#status = 'failed';
        this.#changes.push({ type: 'failed', failure: frame.failure });
      } else {
        this.#result = graphResult(frame);
        this.#status = 'completed';
        this.#changes.push({ type: 'completed' });
      }
      this.#queue = [];
      this.#running.clear();
      return;
    }
    const { node, outer, state } = loop;
    const { index } = frame;
    state.live.delete(index);
    state.finished += 1;
    const { failure } = frame;
    this.#giveBack(frame.held);
    if (!failure) {
      const { result, size } = iterationResult(frame, node, state);
      state.results[index] = result;
      state.held += size;
      this.#add(size);
    } else if (node.loop?.errorHandling === 'stop') {
      state.failedAt = index;
      state.failure = failure;
      for (const [other, live] of state.live) {
        if (other < index) continue;
        state.live.delete(other);
        this.#abandonFrame(live);
      }
    } else {
      const error = errorText(failure.error, this.#options.language);
      state.errors.push({ index, error, code: failure.error.code, node_id: failure.nodeId });
      this.#changes.push({ type: 'loop_item_failed', key: keyOf(outer, node), nodeId: node.id, index, failure });
    }
    this.#work.push({ what: 'iterate', frame: outer, node, state });
  }

  #beginLoop(frame: Frame, node: PlanNode): void {
    const { maxLoopItems } = this.#options;
    const step = new ExecutionStep(this.plan, this.input, frame, node, 1, 0);
    const path = node.loop?.itemsPath;
    const items = path && step.scope.lookup(path);
    if (!Array.isArray(items)) {
      const name = path ? pathText(path) : 'items_path';
      this.#failed(frame, node, {
        kind: 'invalid',
        code: 'LOOP_ITEMS_INVALID',
        message: { zh: `循环的 ${name} 不存在或不是数组`, en: `${name} of the loop is missing or no list` },
      });
      return;
    }
    if (items.length > maxLoopItems) {
      this.#failed(frame, node, {
        kind: 'too_large',
        code: 'LOOP_TOO_LONG',
        message: {
          zh: `循环有 ${items.length} 项，上限 ${maxLoopItems}`,
          en: `the loop has ${items.length} items, at most ${maxLoopItems} are allowed`,
        },
      });
      return;
    }
    const state: LoopState = {
      input: step.input,
      items,
      results: new Array<unknown>(items.length).fill(null),
      held: 0,
      errors: [],
      live: new Map(),
      next: 0,
      finished: 0,
      failedAt: items.length,
      failure: undefined,
    };
    frame.loops.set(node.position, state);
    frame.status[node.position] = Status.running;
    this.#changes.push({ type: 'loop_started', key: keyOf(frame, node), nodeId: node.id, total: items.length });
    this.#work.push({ what: 'iterate', frame, node, state });
  }

  /** Begins as many iterations as may run, or ends the loop. */
  #iterate(frame: Frame, node: PlanNode, state: LoopState): void {
    const { loop } = node;
    if (!loop || frame.loops.get(node.position) !== state) return;
    // One at a time: an iteration that is over at once comes back here through the work list and does not pile up.
    const room =
      state.live.size === 0 || (state.live.size < loop.concurrency && this.#openSteps < GRAPH_LIMITS.openSteps);
    if (room && state.next < state.failedAt) {
      const index = state.next;
      state.next += 1;
      const inner = createFrame(loop.body, frame, `${keyOf(frame, node)}[${index}]/`, index);
      state.live.set(index, inner);
      this.#work.push({ what: 'iterate', frame, node, state });
      this.#open(inner);
      return;
    }
    if (state.live.size > 0) return;
    frame.loops.delete(node.position);
    this.#giveBack(state.held);
    if (state.failure) {
      this.#failed(frame, node, state.failure.error, state.failure);
      return;
    }
    const output = loopOutput(node, state);
    const { maxOutputBytes } = this.#options;
    const size = sizeOf(output, maxOutputBytes);
    if (size > maxOutputBytes) {
      this.#failed(frame, node, toErrorRecord(outputTooLarge(maxOutputBytes)));
      return;
    }
    this.#add(size);
    this.#changes.push({ type: 'loop_finished', key: keyOf(frame, node), nodeId: node.id, output });
    this.#done(frame, node, output, undefined, size);
  }
}

/** Settled nodes of a frame; iterations of running loops count by their share. */
function settledWeight(frame: Frame): number {
  let sum = frame.settled;
  for (const [position, state] of frame.loops) {
    const weight = frame.scope.nodes[position]?.loop?.body.weight ?? 0;
    let iterations = state.finished * weight;
    for (const live of state.live.values()) iterations += settledWeight(live);
    sum += iterations / Math.max(1, state.items.length);
  }
  return sum;
}

const asRecord = (error: unknown): ErrorRecord => {
  if (error instanceof AppError || error instanceof Error || typeof error !== 'object' || error === null) {
    return toErrorRecord(error);
  }
  return 'code' in error && 'message' in error && 'kind' in error ? (error as ErrorRecord) : toErrorRecord(error);
};
