import type { Principal } from '../../../core/principal.ts';
import { formatMaterial } from '../../../runtime/models/index.ts';
import type { ConversationParts } from '../service/parts.ts';

/** The newest pinned messages are part of the background, up to so many and so long together. */
const MOST_PINS = 50;
const MOST_CHARACTERS = 40_000;

/**
 * What the agents of a project are told of it: its description, and the messages that were pinned in its conversations, oldest first.
 * Those of deleted conversations do not count.
 *
 * @returns empty when there is nothing to tell
 */
export async function projectBackground(
  { projects, messages, conversations }: Pick<ConversationParts, 'projects' | 'messages' | 'conversations'>,
  principal: Principal,
  projectId: string,
): Promise<string> {
  const project = await projects
    .in(principal)
    .findOne({ _id: projectId, ownerId: principal.accountId, deleted: false });
  if (!project) return '';
  const pinned = await messages
    .in(principal)
    .find({ pinnedIn: projectId }, { sort: { pinnedAt: -1 }, limit: MOST_PINS, fields: ['content', 'conversationId'] });
  const alive = new Set(
    pinned.length === 0
      ? []
      : (
          await conversations
            .in(principal)
            .find(
              { _id: { $in: [...new Set(pinned.map(({ conversationId }) => conversationId))] }, deleted: false },
              { fields: ['_id'] },
            )
        ).map(({ _id }) => _id),
  );
  let room = MOST_CHARACTERS;
  const texts: string[] = [];
  for (const { content, conversationId } of pinned) {
    if (!alive.has(conversationId) || content.length > room) continue;
    room -= content.length;
    texts.push(content);
  }
  const parts = [
    { title: project.name, text: project.description },
    ...texts.reverse().map((text, at) => ({ title: `${project.name} #${at + 1}`, text })),
  ].filter(({ text }) => text.trim() !== '');
  // Without a description the name is all there is.
  if (parts.length === 0) return project.name;
  return formatMaterial(parts.map((part) => ({ ...part, background: true })));
}
