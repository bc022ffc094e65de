import { AppError, type LocalText } from '../../core/errors.ts';
import type { NodeDefinition } from '../../core/node.ts';
import { nodeUnknown } from './errors.ts';
import { importNode } from './node-file.ts';

/** A node type as clients and the run service see it. */
export interface NodeDescription {
  type: string;
  version: number;
  lane: NodeDefinition['lane'];
  /** For people; absent: the type. */
  label?: LocalText;
  summary?: LocalText;
  callsModel: boolean;
  /** Fields of the configuration that are no templates. */
  literal: readonly string[];
  /** JSON Schemas; properties of `config` may carry `label`, `hint` and `editor`. */
  config: Record<string, unknown>;
  input: Record<string, unknown>;
  output: Record<string, unknown>;
  /** Deadline of one attempt, milliseconds. */
  timeoutMs: number;
  /** How often an attempt that was cut off is to be repeated. */
  retries: number;
}

export interface CatalogueEntry {
  url: string;
  description: NodeDescription;
}

const DEFAULT_RETRIES = 2;

/** The node types that this pool can run; the main thread imports their files once, for the schemas. */
export class NodeCatalogue {
  readonly #timeouts: Record<NodeDefinition['lane'], number>;
  /** By type, versions ascending. */
  readonly #entries = new Map<string, CatalogueEntry[]>();

  /** @param timeouts deadline of nodes that name none, by lane */
  constructor(timeouts: Record<NodeDefinition['lane'], number>) {
    this.#timeouts = timeouts;
  }

  /** @throws {AppError} NODE_FILE_INVALID, NODE_DUPLICATE */
  async add(urls: readonly (URL | string)[]): Promise<void> {
    for (const url of urls.map(String)) this.#addOne(url, await importNode(url));
  }

  #addOne(url: string, definition: NodeDefinition): void {
    const { type, version, lane } = definition;
    const versions = this.#entries.get(type) ?? [];
    const same = versions.find((entry) => entry.description.version === version);
    if (same?.url === url) return;
    if (same !== undefined) {
      throw new AppError('internal', 'NODE_DUPLICATE', {
        zh: `节点类型 ${type} 版本 ${version} 被声明了两次：${same.url}，${url}`,
        en: `Node type ${type} version ${version} is declared twice: ${same.url} and ${url}`,
      });
    }
    const description: NodeDescription = {
      type,
      version,
      lane,
      ...(definition.label && { label: definition.label }),
      ...(definition.summary && { summary: definition.summary }),
      callsModel: definition.callsModel ?? false,
      literal: definition.literal ?? [],
      config: jsonSchema(definition.config),
      input: jsonSchema(definition.input),
      output: jsonSchema(definition.output),
      timeoutMs: definition.timeoutMs ?? this.#timeouts[lane],
      retries: definition.retries ?? DEFAULT_RETRIES,
    };
    versions.push({ url, description });
    versions.sort((a, b) => a.description.version - b.description.version);
    this.#entries.set(type, versions);
  }

  /**
   * @param version default: the newest
   * @throws {AppError} NODE_UNKNOWN
   */
  find(type: string, version?: number): CatalogueEntry {
    const versions = this.#entries.get(type) ?? [];
    const entry = version === undefined ? versions.at(-1) : versions.find((one) => one.description.version === version);
    if (entry === undefined) throw nodeUnknown(type, version);
    return entry;
  }

  describe(): NodeDescription[] {
    return [...this.#entries.values()].flat().map((entry) => entry.description);
  }
}

/** Schemas carry hidden keys of their library; this is what JSON shows of them. */
const jsonSchema = (schema: object): Record<string, unknown> => JSON.parse(JSON.stringify(schema));
