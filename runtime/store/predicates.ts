import { Binary, BSONRegExp, bsonType, type Doc, Double, Int32, isDoc, Long, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { compare, encodeKey, equal, typeByte, typeClass } from './keys.ts';
import { compileRegex } from './regex.ts';

export type Test = (value: unknown) => boolean;

const bad = (message: string) => new CommandError(2, message);

export const isOperators = (value: unknown): value is Doc =>
  isDoc(value) && (Object.keys(value)[0]?.startsWith('$') ?? false);

export const isRegex = (value: unknown): value is RegExp | BSONRegExp =>
  value instanceof RegExp || value instanceof BSONRegExp;

export function truthy(value: unknown): boolean {
  return typeof value === 'boolean' ? value : value !== null && value !== undefined && toNumber(value) !== 0;
}

export function equalTo(operand: unknown): Test {
  if (operand === undefined || operand === null) return (value) => value === null || value === undefined;
  if (typeof operand === 'string')
    return (value) => value === operand || (bsonType(value) === 'BSONSymbol' && String(value) === operand);
  const type = typeClass(operand);
  const number =
    operand instanceof Int32 || operand instanceof Double || typeof operand === 'number'
      ? toNumber(operand)
      : undefined;
  const key = encodeKey(operand);
  return (value) => {
    if (number !== undefined && typeof value === 'number') return Object.is(value, number) || value === number;
    return typeClass(value) === type && value !== undefined && encodeKey(value).equals(key);
  };
}

export function oneOf(operands: unknown[]): Test {
  const tests: Test[] = [];
  const keys = new Set<string>();
  let nullish = false;
  for (const operand of operands) {
    if (isOperators(operand)) throw bad('cannot nest $ under $in');
    if (isRegex(operand)) {
      const expression = compileRegex(operand);
      tests.push((value) => (typeof value === 'string' ? expression(value) : isRegex(value) && equal(value, operand)));
    } else if (operand === null || operand === undefined) nullish = true;
    else if (typeof operand === 'string') keys.add(`s${operand}`);
    else keys.add(encodeKey(operand).toString('latin1'));
  }
  return (value) => {
    if (value === null || value === undefined) return nullish;
    if (keys.has(typeof value === 'string' ? `s${value}` : encodeKey(value).toString('latin1'))) return true;
    return tests.length > 0 && tests.some((test) => test(value));
  };
}

export function inOrder(operator: string, operand: unknown): Test {
  if (isRegex(operand)) throw bad("Can't have RegEx as arg to predicate over field");
  const orEqual = operator.endsWith('e');
  const type = typeClass(operand);
  if (type === typeByte.null || operand === undefined)
    return orEqual ? (value) => value === null || value === undefined : () => false;
  if (type === typeByte.minKey || type === typeByte.maxKey) {
    return (value) => decide(operator, compare(value === undefined ? null : value, operand));
  }
  const number = toNumber(operand);
  if (number !== undefined && Number.isNaN(number)) {
    return (value) => orEqual && toNumber(value) !== undefined && Number.isNaN(toNumber(value));
  }
  const plain =
    number !== undefined && (operand instanceof Int32 || operand instanceof Double || typeof operand === 'number');
  return (value) => {
    if (plain && typeof value === 'number') {
      return operator === '$gt'
        ? value > number
        : operator === '$gte'
          ? value >= number
          : operator === '$lt'
            ? value < number
            : value <= number;
    }
    if (typeClass(value) !== type || value === undefined) return false;
    if (number !== undefined && Number.isNaN(toNumber(value))) return false;
    return decide(operator, compare(value, operand));
  };
}

function decide(operator: string, order: number): boolean {
  switch (operator) {
    case '$gt':
      return order > 0;
    case '$gte':
      return order >= 0;
    case '$lt':
      return order < 0;
    default:
      return order <= 0;
  }
}

const typeNames: Record<string, number> = {
  double: 1,
  string: 2,
  object: 3,
  array: 4,
  binData: 5,
  undefined: 6,
  objectId: 7,
  bool: 8,
  date: 9,
  null: 10,
  regex: 11,
  dbPointer: 12,
  javascript: 13,
  symbol: 14,
  javascriptWithScope: 15,
  int: 16,
  timestamp: 17,
  long: 18,
  decimal: 19,
  minKey: -1,
  maxKey: 127,
};

/** The BSON type number of a value in its exact form. */
export function typeNumber(value: unknown): number {
  if (value instanceof Int32) return 16;
  if (value instanceof Long) return 18;
  if (value instanceof Double) return 1;
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) < 0x80000000 ? 16 : 1;
  switch (typeClass(value)) {
    case typeByte.number:
      return 19;
    case typeByte.string:
      return typeof value === 'string' ? 2 : 14;
    case typeByte.object:
      return 3;
    case typeByte.array:
      return 4;
    case typeByte.binary:
      return 5;
    case typeByte.objectId:
      return 7;
    case typeByte.boolean:
      return 8;
    case typeByte.date:
      return 9;
    case typeByte.null:
      return 10;
    case typeByte.regex:
      return 11;
    case typeByte.timestamp:
      return 17;
    case typeByte.code:
      return 13;
    case typeByte.minKey:
      return -1;
    case typeByte.maxKey:
      return 127;
    default:
      return 6;
  }
}

/** A test for one or several BSON types by name or number. */
export function ofType(operand: unknown): Test {
  const wanted = new Set<number>();
  for (const item of Array.isArray(operand) ? operand : [operand]) {
    if (item === 'number') for (const type of [1, 16, 18, 19]) wanted.add(type);
    else {
      const type = typeof item === 'string' ? typeNames[item] : toNumber(item);
      if (type === undefined || !Object.values(typeNames).includes(type))
        throw bad(`Unknown type name alias: ${String(item)}`);
      wanted.add(type);
    }
  }
  if (wanted.size === 0) throw new CommandError(9, '$type must match at least one type');
  return (value) => value !== undefined && wanted.has(typeNumber(value));
}

export function bitTest(operator: string, operand: unknown): Test {
  let mask = 0n;
  if (Array.isArray(operand)) {
    for (const position of operand) {
      const bit = toNumber(position);
      if (bit === undefined || !Number.isInteger(bit) || bit < 0 || bit > 1_000_000)
        throw bad(`${operator} positions must be whole numbers from 0`);
      mask |= 1n << BigInt(bit);
    }
  } else if (operand instanceof Binary) mask = littleEndian(operand);
  else {
    const number = toNumber(operand);
    if (number === undefined || !Number.isInteger(number) || number < 0)
      throw bad(`${operator} takes a number, positions or binary data`);
    mask = operand instanceof Long ? operand.toBigInt() : BigInt(number);
  }
  return (value) => {
    let bits: bigint;
    if (value instanceof Binary) bits = littleEndian(value);
    else {
      const number = toNumber(value);
      if (number === undefined || !Number.isInteger(number) || Math.abs(number) > 2 ** 63) return false;
      bits = value instanceof Long ? value.toBigInt() : BigInt(number);
    }
    const set = bits & mask;
    if (operator === '$bitsAllSet') return set === mask;
    if (operator === '$bitsAnySet') return set !== 0n;
    return operator === '$bitsAllClear' ? set === 0n : set !== mask;
  };
}

function littleEndian(value: Binary): bigint {
  const hex = Buffer.from(value.buffer.subarray(0, value.length())).reverse().toString('hex');
  return hex === '' ? 0n : BigInt(`0x${hex}`);
}
