/** How much a model thinks: not at all; in the first iteration and now and then after it; in every iteration. */
export const RUN_MODES = ['fast', 'thinking', 'deep'] as const;
export type RunMode = (typeof RUN_MODES)[number];
