import { defineNode } from '../../../core/node.ts';
import work from './work.ts';

export default defineNode({ ...work, type: 'bench.work-isolated', lane: 'isolated' });
