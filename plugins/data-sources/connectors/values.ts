/** Values of databases as JSON that loses nothing: what a number cannot hold exactly stays text. */

/** An integer in text: a number up to 2^53, text beyond. */
export function integer(text: string): number | string {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : text;
}

/** A decimal in text: a number as long as its digits (15 at most) survive, text beyond. */
export function decimal(text: string): number | string {
  const digits = text.replace(/^[+-]?0*\.?0*|\.|[eE].*$/g, '');
  const value = Number(text);
  return digits.length <= 15 && Number.isFinite(value) ? value : text;
}

/** A floating-point number in text; NaN and infinities, which JSON has not, stay text. */
export function float(text: string): number | string {
  const value = Number(text);
  return Number.isFinite(value) ? value : text;
}

/** JSON in text; what cannot be read stays text. */
export function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}
