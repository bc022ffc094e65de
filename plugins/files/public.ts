import type { Readable } from 'node:stream';
import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';

export interface FileItem {
  name: string;
  isDirectory: boolean;
  /** Bytes; 0 for directories. */
  size: number;
  modifiedAt: Date;
  /** From the upload folder on. */
  path: string;
}

export interface FileListing {
  /** The listed directory, from the upload folder on; empty for that folder itself. */
  base: string;
  /** By name. */
  items: FileItem[];
}

export interface NewFile {
  /** As the client called it; it is made a safe name. */
  name: string;
  /** Directory below the upload folder, made when missing. */
  directory?: string;
  /** A temporary file; it is left where it is. */
  source: string;
}

export interface StoredUpload {
  path: string;
  filename: string;
  size: number;
  /** Hex. */
  sha256: string;
}

export interface Download {
  filename: string;
  contentType: string;
  /** Unknown for directories, which come as a ZIP stream. */
  size?: number;
  content: Readable;
}

export interface TreeNode {
  name: string;
  /** From the project directory on. */
  path: string;
  is_dir: boolean;
  size: number;
  children?: TreeNode[];
}

/** Data of the event `file_tree_update`. */
export interface FileTree {
  tree: TreeNode[];
  total_files: number;
  total_size: number;
  /** Only the first part is told. */
  truncated: boolean;
}

/**
 * Files of API accounts: each has a project directory of its own, whose folder `user_upload` is what the file API shows. Nothing outside
 * can be reached, through links neither.
 *
 * @throws {AppError} all methods: PATH_ILLEGAL (invalid), PATH_NOT_FOUND, FILE_STORE_FAILED (internal)
 */
export interface FileService {
  /** @throws {AppError} PATH_NOT_DIRECTORY (invalid) */
  list(principal: Principal, path: string): Promise<FileListing>;
  /**
   * Stores a file; one of the same name is replaced in one step.
   *
   * @throws {AppError} NAME_ILLEGAL, PATH_TAKEN (a directory of that name), PATH_NOT_DIRECTORY (invalid); FILE_TOO_BIG; FILE_QUOTA_EXCEEDED
   */
  upload(principal: Principal, file: NewFile): Promise<StoredUpload>;
  /** @throws {AppError} PATH_MISSING (invalid) */
  download(principal: Principal, path: string | undefined): Promise<Download>;
  /**
   * The content of a file, by its path from the project directory on.
   *
   * @throws {AppError} PATH_NOT_FILE (invalid), FILE_TOO_BIG
   */
  read(principal: Principal, path: string, maxBytes: number): Promise<Uint8Array>;
  /** Everything in the project directory. */
  tree(principal: Principal): Promise<FileTree>;
}

export const fileService = defineService<FileService>('files');
