/** A value that cannot cross a thread unharmed: a function, a promise, an instance of a class. */
export class NotPlainError extends Error {
  /** Dotted path of the value. */
  readonly field: string;
  readonly what: string;

  constructor(path: readonly (string | number)[], what: string) {
    const field = path.join('.');
    super(`${field === '' ? 'The value' : field} is ${what}, not plain data`);
    this.name = 'NotPlainError';
    this.field = field;
    this.what = what;
  }
}
