import { type Doc, isDoc, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { equal } from './keys.ts';
import { ofType } from './predicates.ts';
import { compileRegex } from './regex.ts';

type Check = (value: unknown) => boolean;

const jsonTypes: Record<string, string> = {
  boolean: 'bool',
  object: 'object',
  array: 'array',
  number: 'number',
  string: 'string',
  null: 'null',
};

/**
 * `$jsonSchema` as MongoDB knows it (draft 4 with `bsonType`), for validators of collections.
 *
 * @throws {CommandError} 9 for a keyword that is not known
 */
export function compileSchema(schema: unknown): Check {
  if (!isDoc(schema)) throw new CommandError(14, '$jsonSchema must be an object');
  const checks = Object.keys(schema).flatMap((keyword) => compileKeyword(keyword, schema[keyword], schema));
  return (value) => checks.every((check) => check(value));
}

const text =
  (check: (value: string) => boolean): Check =>
  (value) =>
    typeof value !== 'string' || check(value);
const list =
  (check: (value: unknown[]) => boolean): Check =>
  (value) =>
    !Array.isArray(value) || check(value);
const object =
  (check: (value: Doc) => boolean): Check =>
  (value) =>
    !isDoc(value) || check(value);
const number =
  (check: (value: number) => boolean): Check =>
  (value) => {
    const plain = toNumber(value);
    return plain === undefined || check(plain);
  };

function compileKeyword(keyword: string, operand: unknown, schema: Doc): Check | Check[] {
  const size = toNumber(operand) ?? 0;
  const all = () => (Array.isArray(operand) ? operand.map(compileSchema) : []);
  switch (keyword) {
    case 'bsonType':
      return ofType(operand);
    case 'type':
      return ofType((Array.isArray(operand) ? operand : [operand]).map((name) => jsonTypes[String(name)] ?? 'unknown'));
    case 'required': {
      const names = Array.isArray(operand) ? operand.map(String) : [];
      return object((doc) => names.every((name) => Object.hasOwn(doc, name)));
    }
    case 'properties': {
      const entries = isDoc(operand)
        ? Object.keys(operand).map((key) => [key, compileSchema(operand[key])] as const)
        : [];
      return object((doc) => entries.every(([key, check]) => !Object.hasOwn(doc, key) || check(doc[key])));
    }
    case 'patternProperties': {
      const entries = isDoc(operand)
        ? Object.keys(operand).map((key) => [compileRegex(key), compileSchema(operand[key])] as const)
        : [];
      return object((doc) =>
        entries.every(([test, check]) => Object.keys(doc).every((key) => !test(key) || check(doc[key]))),
      );
    }
    case 'additionalProperties': {
      const known = new Set(isDoc(schema.properties) ? Object.keys(schema.properties) : []);
      const patterns = isDoc(schema.patternProperties)
        ? Object.keys(schema.patternProperties).map((key) => compileRegex(key))
        : [];
      const check: Check = isDoc(operand) ? compileSchema(operand) : () => operand !== false;
      return object((doc) =>
        Object.keys(doc).every((key) => known.has(key) || patterns.some((test) => test(key)) || check(doc[key])),
      );
    }
    case 'items': {
      if (Array.isArray(operand)) {
        const checks = operand.map(compileSchema);
        return list((items) => checks.every((check, i) => i >= items.length || check(items[i])));
      }
      const check = compileSchema(operand);
      return list((items) => items.every(check));
    }
    case 'enum':
      return (value) => Array.isArray(operand) && operand.some((item) => equal(item, value));
    case 'minimum':
      return number((value) => (schema.exclusiveMinimum === true ? value > size : value >= size));
    case 'maximum':
      return number((value) => (schema.exclusiveMaximum === true ? value < size : value <= size));
    case 'multipleOf':
      return number((value) => value % size === 0);
    case 'minLength':
      return text((value) => [...value].length >= size);
    case 'maxLength':
      return text((value) => [...value].length <= size);
    case 'pattern': {
      const test = compileRegex(operand);
      return text(test);
    }
    case 'minItems':
      return list((items) => items.length >= size);
    case 'maxItems':
      return list((items) => items.length <= size);
    case 'uniqueItems':
      return list(
        (items) => operand !== true || items.every((item, i) => !items.slice(0, i).some((other) => equal(item, other))),
      );
    case 'minProperties':
      return object((doc) => Object.keys(doc).length >= size);
    case 'maxProperties':
      return object((doc) => Object.keys(doc).length <= size);
    case 'allOf': {
      const checks = all();
      return (value) => checks.every((check) => check(value));
    }
    case 'anyOf': {
      const checks = all();
      return (value) => checks.some((check) => check(value));
    }
    case 'oneOf': {
      const checks = all();
      return (value) => checks.filter((check) => check(value)).length === 1;
    }
    case 'not': {
      const check = compileSchema(operand);
      return (value) => !check(value);
    }
    case 'title':
    case 'description':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return [];
    default:
      throw new CommandError(9, `Unknown $jsonSchema keyword: ${keyword}`);
  }
}
