import { defineNode } from '../../../core/node.ts';
import noop from './noop.ts';

export default defineNode({ ...noop, type: 'bench.noop-isolated', lane: 'isolated' });
