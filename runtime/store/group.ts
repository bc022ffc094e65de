import { calculateObjectSize } from 'bson';
import { copyOf, type Doc, Double, Int32, isDoc, put, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { dependencies, evaluator } from './expression.ts';
import { compare, encodeKey } from './keys.ts';
import { calculate } from './numbers.ts';
import type { Operation } from './operation.ts';
import { parseSort } from './planner.ts';
import { sortKeyer } from './sorter.ts';

interface Accumulator {
  add(value: unknown, doc: Doc): void;
  result(): unknown;
}

type Evaluate = (doc: Doc) => unknown;

const sizeOf = (value: unknown) =>
  typeof value === 'object' && value !== null
    ? calculateObjectSize({ v: value }) * 3
    : typeof value === 'string'
      ? value.length * 2 + 16
      : 16;

/** How an accumulator is made for each group. */
function compileAccumulator(
  name: string,
  operand: unknown,
  operation: Operation,
  variables?: Doc,
): { value: Evaluate; make(): Accumulator } {
  const hold = (value: unknown) => operation.hold(sizeOf(value), '$group');
  const value = evaluator(operand, variables);
  switch (name) {
    case '$sum':
      return {
        value,
        make() {
          let sum: unknown = new Int32(0);
          let plain = 0; // sums of small integers and doubles without objects, the usual case
          return {
            add(item) {
              const number =
                item instanceof Int32
                  ? Number(item.value)
                  : typeof item === 'number' && Number.isInteger(item)
                    ? item
                    : undefined;
              if (number !== undefined && Math.abs(plain) < 2 ** 50 && Math.abs(number) < 2 ** 50) plain += number;
              else if (toNumber(item) !== undefined) sum = calculate('+', sum, item);
            },
            result: () => calculate('+', sum, plain),
          };
        },
      };
    case '$count':
      return {
        value: () => 1,
        make() {
          let count = 0;
          return { add: () => void count++, result: () => count };
        },
      };
    case '$avg':
      return {
        value,
        make() {
          let [sum, count] = [0, 0];
          return {
            add(item) {
              const number = toNumber(item);
              if (number === undefined) return;
              sum += number;
              count++;
            },
            result: () => (count === 0 ? null : new Double(sum / count)),
          };
        },
      };
    case '$min':
    case '$max': {
      const sign = name === '$min' ? -1 : 1;
      return {
        value,
        make() {
          let best: unknown;
          return {
            add(item) {
              if (item !== undefined && item !== null && (best === undefined || compare(item, best) * sign > 0))
                best = item;
            },
            result: () => best ?? null,
          };
        },
      };
    }
    case '$first':
      return {
        value,
        make() {
          let [found, seen]: [unknown, boolean] = [null, false];
          return {
            add(item) {
              if (seen) return;
              seen = true;
              found = item ?? null;
            },
            result: () => found,
          };
        },
      };
    case '$last':
      return {
        value,
        make() {
          let found: unknown = null;
          return {
            add(item) {
              found = item ?? null;
            },
            result: () => found,
          };
        },
      };
    case '$push':
      return {
        value,
        make() {
          const list: unknown[] = [];
          return {
            add(item) {
              if (item === undefined) return;
              hold(item);
              list.push(item);
            },
            result: () => list,
          };
        },
      };
    case '$addToSet':
      return {
        value,
        make() {
          const set = new Map<string, unknown>();
          return {
            add(item) {
              if (item === undefined) return;
              const key = encodeKey(item).toString('latin1');
              if (set.has(key)) return;
              hold(item);
              set.set(key, item);
            },
            result: () => [...set.values()],
          };
        },
      };
    case '$mergeObjects':
      return {
        value,
        make() {
          let merged: Doc = {};
          return {
            add(item) {
              if (item === null || item === undefined) return;
              if (!isDoc(item)) throw new CommandError(40400, '$mergeObjects requires object inputs');
              const next = copyOf(merged);
              for (const key of Object.keys(item)) put(next, key, item[key]);
              merged = next;
            },
            result: () => merged,
          };
        },
      };
    case '$top':
    case '$bottom':
    case '$topN':
    case '$bottomN': {
      if (!isDoc(operand)) throw new CommandError(5788001, `${name} requires an object`);
      const order = parseSort(operand.sortBy).map((part) =>
        name.startsWith('$bottom') ? { ...part, descending: !part.descending } : part,
      );
      const count = name.endsWith('N') ? (toNumber(evaluator(operand.n, variables)({})) ?? 1) : 1;
      const keyer = sortKeyer(order);
      const output = evaluator(operand.output, variables);
      return {
        value: output,
        make() {
          let best: { key: Buffer; value: unknown }[] = [];
          return {
            add(item, doc) {
              best.push({ key: keyer.key(doc), value: item ?? null });
              best.sort((a, b) => Buffer.compare(a.key, b.key));
              best = best.slice(0, count);
            },
            result() {
              const values = best.map(({ value }) => value);
              if (!name.endsWith('N')) return values[0] ?? null;
              return name === '$bottomN' ? values.reverse() : values;
            },
          };
        },
      };
    }
    case '$firstN':
    case '$lastN':
    case '$minN':
    case '$maxN': {
      if (!isDoc(operand)) throw new CommandError(5787801, `${name} requires an object`);
      const count = toNumber(evaluator(operand.n, variables)({})) ?? 1;
      return {
        value: evaluator(operand.input, variables),
        make() {
          let list: unknown[] = [];
          return {
            add(item) {
              if (name === '$firstN' && list.length >= count) return;
              if ((name === '$minN' || name === '$maxN') && (item === null || item === undefined)) return;
              list.push(item ?? null);
              if (name === '$lastN') list = list.slice(-count);
              if (name === '$minN' || name === '$maxN')
                list = list.sort((a, b) => compare(a, b) * (name === '$minN' ? 1 : -1)).slice(0, count);
            },
            result: () => list,
          };
        },
      };
    }
    case '$stdDevPop':
    case '$stdDevSamp':
      return {
        value,
        make() {
          let [count, mean, squares] = [0, 0, 0];
          return {
            add(item) {
              const number = toNumber(item);
              if (number === undefined) return;
              count++;
              const delta = number - mean;
              mean += delta / count;
              squares += delta * (number - mean);
            },
            result() {
              const divisor = name === '$stdDevPop' ? count : count - 1;
              return divisor <= 0 ? null : new Double(Math.sqrt(squares / divisor));
            },
          };
        },
      };
    case '$median':
    case '$percentile': {
      if (!isDoc(operand)) throw new CommandError(7436201, `${name} requires an object`);
      const points =
        name === '$median' ? [0.5] : Array.isArray(operand.p) ? operand.p.map((p) => toNumber(p) ?? 0) : [];
      return {
        value: evaluator(operand.input, variables),
        make() {
          const numbers: number[] = [];
          return {
            add(item) {
              const number = toNumber(item);
              if (number === undefined) return;
              operation.hold(8, '$group');
              numbers.push(number);
            },
            result() {
              const sorted = numbers.sort((a, b) => a - b);
              const values = points.map((p) =>
                sorted.length === 0 ? null : new Double(sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? 0),
              );
              return name === '$median' ? values[0] : values;
            },
          };
        },
      };
    }
    case '$accumulator':
      throw new CommandError(2, '$accumulator is not supported by the embedded store: server-side JavaScript is off');
    default:
      throw new CommandError(15952, `unknown group operator '${name}'`);
  }
}

export interface Grouping {
  /** Paths the stage reads; undefined when it may read all. */
  paths: Set<string> | undefined;
  run(source: AsyncIterable<Doc[]>): AsyncGenerator<Doc[]>;
}

/** `$group`: one pass, one accumulator per group and field; only the groups are held, not the documents. */
export function compileGroup(spec: unknown, operation: Operation, variables?: Doc): Grouping {
  if (!isDoc(spec)) throw new CommandError(15947, "a group's fields must be specified in an object");
  if (!('_id' in spec)) throw new CommandError(15955, 'a group specification must include an _id');
  const keyOf = evaluator(spec._id, variables);
  const fields = Object.entries(spec)
    .filter(([name]) => name !== '_id')
    .map(([name, definition]) => {
      if (name.includes('.')) throw new CommandError(40235, `The field name '${name}' cannot contain '.'`);
      const [operator, ...others] = isDoc(definition) ? Object.keys(definition) : [];
      if (!isDoc(definition) || operator === undefined || !operator.startsWith('$'))
        throw new CommandError(40234, `The field '${name}' must be an accumulator object`);
      if (others.length > 0) throw new CommandError(40238, `The field '${name}' must specify one accumulator`);
      return { name, ...compileAccumulator(operator, definition[operator], operation, variables) };
    });
  const sorts = Object.values(spec).some(
    (definition) =>
      isDoc(definition) && ['$top', '$bottom', '$topN', '$bottomN'].includes(Object.keys(definition)[0] ?? ''),
  );
  return {
    paths: sorts ? undefined : dependencies(spec),
    async *run(source) {
      const groups = new Map<string, { id: unknown; parts: Accumulator[] }>();
      for await (const docs of source) {
        for (const doc of docs) {
          const id = keyOf(doc);
          const key = encodeKey(id ?? null).toString('latin1');
          let group = groups.get(key);
          if (!group) {
            operation.hold(key.length * 2 + 400 + fields.length * 200 + sizeOf(id), '$group');
            group = { id: id ?? null, parts: fields.map((field) => field.make()) };
            groups.set(key, group);
          }
          for (const [i, field] of fields.entries()) group.parts[i]?.add(field.value(doc), doc);
          if (operation.due) await operation.pause();
        }
      }
      let batch: Doc[] = [];
      for (const { id, parts } of groups.values()) {
        const doc: Doc = { _id: id };
        for (const [i, { name }] of fields.entries()) put(doc, name, parts[i]?.result());
        batch.push(doc);
        if (batch.length < 100) continue;
        yield batch;
        batch = [];
      }
      if (batch.length > 0) yield batch;
    },
  };
}
