/** Measures in points, colours of the PDF. A4 with margins that leave room for punch holes. */
export const page = { width: 595.28, height: 841.89, left: 68, right: 62, top: 84, bottom: 70 } as const;

export const contentWidth = page.width - page.left - page.right;

export const colors = {
  text: '#1c2430',
  muted: '#5d6878',
  accent: '#1f3f6e',
  link: '#1f5fa8',
  rule: '#c6cfdb',
  headFill: '#e6ecf4',
  labelFill: '#f4f6f9',
} as const;

export const body = { size: 10.5, leading: 18, indent: 21, gap: 5 } as const;

/** By level, 1 = chapter. */
export const headings = [
  { size: 16, leading: 24, before: 22, after: 10 },
  { size: 13, leading: 20, before: 14, after: 6 },
  { size: 11.5, leading: 18, before: 10, after: 4 },
  { size: 10.5, leading: 17, before: 8, after: 3 },
] as const;

export const table = { size: 9, leading: 13.5, padX: 5, padY: 3.5, captionLeading: 17, before: 8, after: 12 } as const;
