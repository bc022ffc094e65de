/** What a filter, an update or a pipeline may hold. What is refused here is a bug of the caller, never bad input of a client. */

type Plain = Record<string, unknown>;

/** Operators that run code or leave the collection; they are refused wherever they stand. */
const FORBIDDEN = new Set([
  '$where',
  '$function',
  '$accumulator',
  '$lookup',
  '$graphLookup',
  '$unionWith',
  '$out',
  '$merge',
]);

/** Stages that only see what the stages before them let through. */
const STAGES = new Set([
  '$match',
  '$sort',
  '$limit',
  '$skip',
  '$project',
  '$addFields',
  '$set',
  '$unset',
  '$group',
  '$unwind',
  '$count',
  '$facet',
  '$replaceRoot',
  '$replaceWith',
  '$sortByCount',
  '$bucket',
  '$bucketAuto',
  '$sample',
  '$redact',
  '$setWindowFields',
]);

const isPlain = (value: unknown): value is Plain => {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

function walk(value: unknown, path: string, refuseUndefined: boolean): void {
  // A forgotten value would be sent as null and match every document that lacks the field.
  if (value === undefined && refuseUndefined) throw new TypeError(`Undefined value in a filter: ${path}`);
  if (Array.isArray(value)) {
    for (const item of value) walk(item, path, refuseUndefined);
  } else if (isPlain(value)) {
    for (const [key, inner] of Object.entries(value)) {
      if (FORBIDDEN.has(key)) throw new TypeError(`${key} is not allowed: ${path}${key}`);
      walk(inner, `${path}${key}.`, refuseUndefined);
    }
  }
}

/** The filter within the tenant; without a tenant the filter itself. */
export function scopeFilter(filter: object, tenantId: string | undefined): Plain {
  walk(filter, '', true);
  const plain = filter as Plain;
  if (tenantId === undefined) return plain;
  return Object.hasOwn(plain, 'tenantId') ? { $and: [{ tenantId }, plain] } : { tenantId, ...plain };
}

/** Checks that an update consists of operators and leaves tenant and id alone. */
export function checkUpdate(update: unknown): Plain {
  if (!isPlain(update)) throw new TypeError('An update is an object of operators; pipelines are not allowed');
  for (const [operator, changes] of Object.entries(update)) {
    if (!operator.startsWith('$')) throw new TypeError(`An update needs operators; "${operator}" is none`);
    if (!isPlain(changes)) throw new TypeError(`${operator} needs an object of fields`);
    for (const [path, value] of Object.entries(changes)) {
      const [head = ''] = path.split('.');
      const protectedField = head === 'tenantId' || (head === '_id' && operator !== '$setOnInsert');
      const renamed = operator === '$rename' && /^(tenantId|_id)(\.|$)/.test(String(value));
      if (protectedField || renamed) throw new TypeError(`An update may not touch ${renamed ? String(value) : path}`);
    }
  }
  return update;
}

/** The pipeline within the tenant, made of stages that stay inside the collection. */
export function scopePipeline(pipeline: readonly Plain[], tenantId: string | undefined): Plain[] {
  checkStages(pipeline);
  walk(pipeline, '', false);
  return tenantId === undefined ? [...pipeline] : [{ $match: { tenantId } }, ...pipeline];
}

function checkStages(pipeline: readonly Plain[]): void {
  for (const stage of pipeline) {
    const [name, ...more] = Object.keys(stage);
    if (name === undefined || more.length > 0 || !STAGES.has(name)) {
      throw new TypeError(`Pipeline stage ${Object.keys(stage).join(', ') || '{}'} is not allowed`);
    }
    if (name === '$facet') {
      for (const inner of Object.values(stage[name] as Record<string, Plain[]>)) checkStages(inner);
    }
  }
}
