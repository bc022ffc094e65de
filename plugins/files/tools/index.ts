import type { ToolDefinition } from '../../../core/tool.ts';
import { deleteFileTool } from './delete-file.ts';
import { editFileTool } from './edit-file.ts';
import { listFilesTool } from './list-files.ts';
import type { ToolParts } from './parts.ts';
import { readFileTool } from './read-file.ts';
import { renameFileTool } from './rename-file.ts';
import { searchFilesTool } from './search-files.ts';
import { writeFileTool } from './write-file.ts';

/** Tools for the project directory of whoever asks. Paths are relative to it; uploads are in `user_upload`. */
export const fileTools = (parts: ToolParts): ToolDefinition[] => [
  listFilesTool(parts),
  readFileTool(parts),
  searchFilesTool(parts),
  writeFileTool(parts),
  editFileTool(parts),
  renameFileTool(parts),
  deleteFileTool(parts),
];
