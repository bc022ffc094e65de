import type { Folder } from './folder.ts';
import type { FileTree, TreeNode } from './public.ts';
import { walk } from './walk.ts';

/** A tree is sent with every change and shown to models; larger ones are told in part. */
const MAX_NODES = 500;
/** Totals of more are not counted: that would take seconds. */
const MAX_WALKED = 20_000;

/** The project directory as a tree, directories before what is in them. */
export async function readTree(project: Folder): Promise<FileTree> {
  const root: TreeNode[] = [];
  const directories = new Map<string, TreeNode[]>([['', root]]);
  const tree: FileTree = { tree: root, total_files: 0, total_size: 0, truncated: false };
  let nodes = 0;
  let walked = 0;
  for await (const { parts, entry } of walk(project)) {
    if (++walked > MAX_WALKED) break;
    if (!entry.isDirectory) {
      tree.total_files += 1;
      tree.total_size += entry.size;
    }
    const siblings = directories.get(parts.slice(0, -1).join('/'));
    if (siblings === undefined || ++nodes > MAX_NODES) {
      tree.truncated = true;
      continue;
    }
    const path = parts.join('/');
    const node: TreeNode = { name: entry.name, path, is_dir: entry.isDirectory, size: entry.size };
    if (entry.isDirectory) {
      node.children = [];
      directories.set(path, node.children);
    }
    siblings.push(node);
  }
  return tree;
}
