/**
 * Workflow semantics without I/O: validation, compilation to a plan, the state machine of an execution, templates, expressions,
 * transforms and differences. Everything here is synchronous and deterministic.
 *
 * ```ts
 * const plan = compileGraph(nodes, edges); // once per version of a workflow
 * const execution = restore(plan, inputData, finished); // an empty map for a new one
 * for (const step of execution.ready()) {
 *   // wait step.delayMs, carry it out, store its outcome under step.key, then
 *   execution.finish(step, output, branch); // or execution.fail(step, error)
 *   execution.changes(); // to be logged; `abandoned` steps are to be aborted
 * } // again, until execution.status is terminal: then execution.result or execution.failure
 * ```
 *
 * Read `step.input`, `step.scope` and `step.predecessors` before the step is reported. They are shared, never change them.
 */
export { DataBudget } from './budget.ts';
export { diffGraphs, type FieldChange, type GraphDiff, type ItemChange, type PartDiff } from './diff.ts';
export { Execution } from './execution/execution.ts';
export { outcomesBefore, restore } from './execution/restore.ts';
export {
  type BinaryOperator,
  type Expression,
  expressionPaths,
  FUNCTIONS,
  type FunctionName,
  type UnaryOperator,
} from './expression/ast.ts';
export { ExpressionError } from './expression/errors.ts';
export { evaluate, holds } from './expression/evaluate.ts';
export { EXPRESSION_LIMITS, parseExpression } from './expression/parse.ts';
export { GRAPH_LIMITS } from './limits.ts';
export { getPath, type Path, parsePath, pathText, setPath } from './path.ts';
export {
  compileGraph,
  invalidWorkflow,
  type LoopPlan,
  type Plan,
  type PlanEdge,
  type PlanNode,
  type PlanScope,
} from './plan.ts';
export { policyProblems, readPolicy, retryDelay } from './policy.ts';
export { createPurePerformer, inputFields, type Performed, PURE_NODE_TYPES } from './pure-nodes.ts';
export { isLarger, sizeOf } from './size.ts';
export {
  type Placeholder,
  parseTemplate,
  type Rendered,
  renderTemplate,
  type Template,
  templatePaths,
  templateValue,
} from './template.ts';
export {
  type MappingSource,
  parseTransform,
  TRANSFORM_MODES,
  type Transform,
  type TransformMode,
  transformProblem,
} from './transform/config.ts';
export { FILTER_OPERATORS, type FilterOperator, type FilterRule, filterItems, fits } from './transform/filter.ts';
export { type TransformContext, type Transformed, transform } from './transform/transform.ts';
export type * from './types.ts';
export { validateGraph } from './validate/validate.ts';
export { compare, contains, equals, essence, numeric, textOf, truthy } from './values.ts';
