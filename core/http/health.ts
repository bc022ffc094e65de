import { Type } from '../schema.ts';
import { defineRoute, defineRoutes, type RouteSet } from './route.ts';

/** `GET /health`, which two APIs document with bodies that fit into one. */
export function healthRoutes(version: string): RouteSet[] {
  return (['studio', 'tasks'] as const).map((contract) =>
    defineRoutes(contract, {
      tag: { zh: '健康检查', en: 'Health' },
      codes: {},
      routes: [
        defineRoute({
          method: 'GET',
          path: '/health',
          auth: 'none',
          summary: { zh: '服务是否可用', en: 'Whether the server answers' },
          bare: true,
          reply: Type.Object({
            success: Type.Literal(true),
            status: Type.String(),
            version: Type.String(),
            timestamp: Type.String({ format: 'date-time' }),
          }),
          handler: () => ({
            success: true,
            status: 'ok',
            version,
            timestamp: `${new Date().toISOString().slice(0, 19)}Z`,
          }),
        }),
      ],
    }),
  );
}
