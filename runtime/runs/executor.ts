import type { Principal } from '../../core/principal.ts';

/** What carries nodes out (the worker pool). */
export interface NodeExecutor {
  /**
   * Runs one attempt of a node.
   *
   * @throws {AppError} NODE_CUT_OFF when the process or thread died: the task may be repeated; POOL_QUEUE_FULL when there is
   *   no room at the moment; anything else is the node's own failure
   */
  run(task: NodeTask, hooks: NodeHooks, signal?: AbortSignal): Promise<unknown>;
  /** The node types at hand. */
  describe?(): readonly {
    readonly type: string;
    readonly version: number;
    readonly retries?: number | undefined;
    readonly callsModel?: boolean;
  }[];
}

export interface NodeTask {
  type: string;
  version?: number;
  config?: Record<string, unknown>;
  input: unknown;
  run: { id: string; tenantId: string; kind: string };
  principal: Principal;
  idempotencyKey: string;
  attempt: number;
  timeoutMs?: number;
}

export interface NodeHooks {
  /** The returned promise resolves when the event is stored; an executor may wait for it to slow a node down. */
  onEvent?(type: string, data: Record<string, unknown>): void | Promise<void>;
  onProgress?(fraction: number): void;
  onLog?(level: 'debug' | 'info' | 'warn' | 'error', message: string, data?: Record<string, unknown>): void;
}
