import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { WorkflowTemplate } from '../public.ts';

const FOLDER = new URL('../templates/', import.meta.url);

/** In the order in which they are shown; files that are not named here come last. */
const ORDER = ['single-model-call', 'classify-and-answer', 'batch-over-a-list', 'data-clean-up', 'agent-answer'];

/** The built-in templates, one YAML file each; the file's name is the id. */
export function loadTemplates(): WorkflowTemplate[] {
  const place = (id: string) => (ORDER.includes(id) ? ORDER.indexOf(id) : ORDER.length);
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.yaml'))
    .map((file): WorkflowTemplate => {
      const content = parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Omit<WorkflowTemplate, 'id'>;
      return { id: file.replace(/\.yaml$/, ''), ...content };
    })
    .sort((a, b) => place(a.id) - place(b.id) || a.id.localeCompare(b.id));
}
