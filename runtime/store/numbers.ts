import { Decimal128, Double, Int32, Long, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';

/** An exact number: `mantissa / denominator`, the denominator positive. */
interface Rational {
  mantissa: bigint;
  denominator: bigint;
}

const scratch = new DataView(new ArrayBuffer(8));

/** The next double above (`step` 1) or below (`step` -1) a finite one. */
function neighbour(value: number, step: 1 | -1): number {
  if (value === 0) return step * Number.MIN_VALUE;
  scratch.setFloat64(0, value);
  const bits = scratch.getBigInt64(0);
  scratch.setBigInt64(0, bits + BigInt(value > 0 ? step : -step));
  return scratch.getFloat64(0);
}

function rationalOfDouble(value: number): Rational {
  if (Number.isInteger(value)) return { mantissa: BigInt(value), denominator: 1n };
  scratch.setFloat64(0, value);
  const bits = scratch.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const mantissa = exponent === 0 ? fraction : fraction | 0x10000000000000n;
  const shift = BigInt(1075 - Math.max(exponent, 1));
  return { mantissa: value < 0 ? -mantissa : mantissa, denominator: 1n << shift };
}

/** A finite decimal as digits and exponent; `undefined` for NaN and infinities. */
function decimalParts(text: string): { digits: bigint; exponent: number } | undefined {
  const match = /^(-?)(\d+)(?:\.(\d*))?(?:E([+-]?\d+))?$/i.exec(text);
  if (!match) return undefined;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  const digits = BigInt(whole + fraction);
  return { digits: sign ? -digits : digits, exponent: Number(exponent) - fraction.length };
}

/** The nearest double at or below an exact number, and the rest as a fraction (0-1, scaled by 2^120) of the step to the next. */
export function floorDouble(value: Long | Decimal128): { floor: number; rest: bigint } {
  const text = value.toString();
  let floor = Number(text);
  const parts = value instanceof Long ? { digits: value.toBigInt(), exponent: 0 } : decimalParts(text);
  if (!parts || !Number.isFinite(floor)) return { floor, rest: 0n };
  const exact =
    parts.exponent >= 0
      ? { mantissa: parts.digits * 10n ** BigInt(parts.exponent), denominator: 1n }
      : { mantissa: parts.digits, denominator: 10n ** BigInt(-parts.exponent) };
  let base = rationalOfDouble(floor);
  if (base.mantissa * exact.denominator > exact.mantissa * base.denominator) {
    floor = neighbour(floor, -1);
    base = rationalOfDouble(floor);
  }
  const rest = exact.mantissa * base.denominator - base.mantissa * exact.denominator;
  if (rest === 0n) return { floor, rest };
  const next = rationalOfDouble(neighbour(floor, 1));
  const step = {
    mantissa: next.mantissa * base.denominator - base.mantissa * next.denominator,
    denominator: next.denominator * base.denominator,
  };
  const scaled = ((rest * step.denominator) << 120n) / (exact.denominator * base.denominator * step.mantissa);
  return { floor, rest: scaled === 0n ? 1n : scaled };
}

function decimalOf(value: unknown): { digits: bigint; exponent: number } | undefined {
  const text = value instanceof Decimal128 || value instanceof Long ? value.toString() : String(toNumber(value));
  return decimalParts(text);
}

/** 34 digits are kept, as in MongoDB; more are rounded half to even. */
function decimal(digits: bigint, exponent: number): Decimal128 {
  const negative = digits < 0n;
  let rest = negative ? -digits : digits;
  const excess = rest.toString().length - 34;
  if (excess > 0) {
    const divisor = 10n ** BigInt(excess);
    const half = rest % divisor;
    rest /= divisor;
    if (half * 2n > divisor || (half * 2n === divisor && rest % 2n === 1n)) rest += 1n;
    exponent += excess;
  }
  return Decimal128.fromString(`${negative ? '-' : ''}${rest}E${exponent}`);
}

const isWhole = (value: unknown) => value instanceof Int32 || value instanceof Long || Number.isSafeInteger(value);

const asBigInt = (value: unknown): bigint =>
  value instanceof Long ? value.toBigInt() : BigInt(Number(value instanceof Int32 ? value.value : value));

/**
 * Adds or multiplies two numbers by MongoDB's rules: the widest type wins, an int that overflows becomes a long.
 *
 * @throws {CommandError} 2 when a long overflows
 */
export function calculate(operator: '+' | '*', left: unknown, right: unknown): unknown {
  if (left instanceof Decimal128 || right instanceof Decimal128) {
    const a = decimalOf(left);
    const b = decimalOf(right);
    if (!a || !b) {
      const [x = 0, y = 0] = [toNumber(left), toNumber(right)];
      return Decimal128.fromString(String(operator === '+' ? x + y : x * y));
    }
    if (operator === '*') return decimal(a.digits * b.digits, a.exponent + b.exponent);
    const exponent = Math.min(a.exponent, b.exponent);
    if (Math.max(a.exponent, b.exponent) - exponent > 80)
      return a.exponent > b.exponent === (a.digits !== 0n) ? left : right;
    const scale = (part: { digits: bigint; exponent: number }) => part.digits * 10n ** BigInt(part.exponent - exponent);
    return decimal(scale(a) + scale(b), exponent);
  }
  if (isWhole(left) && isWhole(right)) {
    const [a, b] = [asBigInt(left), asBigInt(right)];
    const result = operator === '+' ? a + b : a * b;
    if (left instanceof Long || right instanceof Long || result > 0x7fffffffn || result < -0x80000000n) {
      if (result !== BigInt.asIntN(64, result))
        throw new CommandError(2, 'Failed to apply the operation: the result overflows a 64-bit integer');
      return Long.fromBigInt(result);
    }
    return new Int32(Number(result));
  }
  const [x = 0, y = 0] = [toNumber(left), toNumber(right)];
  return new Double(operator === '+' ? x + y : x * y);
}
