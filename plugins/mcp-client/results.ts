import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';

/** Characters of one result that are kept at all. */
const MAX_RESULT = 200_000;

/** The result of a tool as text for a model: text as it is, everything else described. */
export function resultText({ content, structuredContent }: CallToolResult): string {
  const parts = content.map(partText);
  // Structured content is to be repeated as text by the server; not all of them do.
  const text = parts.length > 0 ? parts.join('\n') : structuredContent ? JSON.stringify(structuredContent) : '';
  return text === '' ? '(nothing)' : text.slice(0, MAX_RESULT);
}

const bytesOf = (base64: string) => Math.floor((base64.length * 3) / 4);

function partText(part: CallToolResult['content'][number]): string {
  if (part.type === 'text') return part.text;
  if (part.type === 'image' || part.type === 'audio')
    return `[${part.type}, ${part.mimeType}, ${bytesOf(part.data)} bytes]`;
  if (part.type === 'resource_link') {
    return `[resource ${part.name}: ${part.uri}${part.description ? `, ${part.description}` : ''}]`;
  }
  const { resource } = part;
  if ('text' in resource) return resource.text;
  return `[resource ${resource.uri}, ${resource.mimeType ?? 'unknown type'}, ${bytesOf(resource.blob)} bytes]`;
}
