/**
 * Workflow semantics without I/O: validation, compilation to a plan, the state machine of an execution, templates,
 * expressions, transforms and differences. Everything here is synchronous and deterministic.
 */
export * from './types.ts';
