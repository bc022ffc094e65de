/** A filter for fields that contain a text, without regard to case; the text is taken literally. */
export const containsText = (text: string): RegExp => new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'i');
