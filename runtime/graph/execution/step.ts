import type { Plan, PlanNode } from '../plan.ts';
import type { LoopPosition, Scope, Step } from '../types.ts';
import { mergeInput, NodeScope, predecessorsOf } from './data-flow.ts';
import { type Frame, keyOf, loopPositions } from './frame.ts';

/** A step that looks up its data when it is asked for it; steps of large loops cost nothing before. */
export class ExecutionStep implements Step {
  readonly key: string;
  readonly nodeId: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly attempt: number;
  readonly delayMs: number;
  readonly timeoutMs: number | undefined;
  readonly node: PlanNode;
  readonly frame: Frame;
  readonly #plan: Plan;
  readonly #executionInput: unknown;
  #predecessors: { id: string; output: unknown }[] | undefined;
  #input: { value: unknown } | undefined;

  constructor(plan: Plan, executionInput: unknown, frame: Frame, node: PlanNode, attempt: number, delayMs: number) {
    this.key = keyOf(frame, node);
    this.nodeId = node.id;
    this.type = node.type;
    this.data = node.data;
    this.attempt = attempt;
    this.delayMs = delayMs;
    this.timeoutMs = node.policy.timeoutMs;
    this.node = node;
    this.frame = frame;
    this.#plan = plan;
    this.#executionInput = executionInput;
  }

  get loops(): readonly LoopPosition[] {
    return loopPositions(this.frame);
  }

  get predecessors(): readonly { id: string; output: unknown }[] {
    this.#predecessors ??= predecessorsOf(this.frame, this.node);
    return this.#predecessors;
  }

  get input(): unknown {
    const isStart = this.type === 'start' && !this.frame.parent;
    this.#input ??= { value: isStart ? this.#executionInput : mergeInput(this.predecessors) };
    return this.#input.value;
  }

  get scope(): Scope {
    return new NodeScope(this.frame, this.node, {
      input: this.input,
      executionInput: this.#executionInput,
      find: (id) => this.#plan.byId.get(id),
    });
  }
}
