import { AppError } from '../../core/errors.ts';

/** How much data may be held at once: by one execution, and below the same roof by all of them. */
export class DataBudget {
  readonly #most: number;
  readonly #refusal: (mib: number) => AppError;
  readonly #roof: DataBudget | undefined;
  #held = 0;

  /** @param most bytes, as `sizeOf` counts them */
  constructor(most: number, refusal: (mib: number) => AppError = dataTooLarge, roof?: DataBudget) {
    this.#most = most;
    this.#refusal = refusal;
    this.#roof = roof;
  }

  get held(): number {
    return this.#held;
  }

  /** @throws {AppError} when there is no room */
  take(bytes: number): void {
    if (this.#held + bytes > this.#most) throw this.#refusal(Math.round(this.#most / 2 ** 20));
    this.#roof?.take(bytes);
    this.#held += bytes;
  }

  /** Takes what cannot be refused any more. */
  add(bytes: number): void {
    this.#roof?.add(bytes);
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#roof?.give(bytes);
    this.#held -= bytes;
  }

  /** Gives back whatever is left. */
  close(): void {
    this.give(this.#held);
  }
}

export const outputTooLarge = (bytes: number): AppError => {
  const mib = Math.round(bytes / 2 ** 20);
  return new AppError(
    'too_large',
    'OUTPUT_TOO_LARGE',
    { zh: `输出超过上限 ${mib} MiB`, en: `the output is larger than ${mib} MiB` },
    { details: { mib } },
  );
};

const dataTooLarge = (mib: number): AppError =>
  new AppError(
    'too_large',
    'EXECUTION_DATA_TOO_LARGE',
    {
      zh: `执行中的数据合计超过上限 ${mib} MiB`,
      en: `the data of the execution is larger than ${mib} MiB in all`,
    },
    { details: { mib } },
  );
