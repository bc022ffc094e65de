import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import type Router from '@koa/router';
import type { Context } from 'koa';
import { CONTRACT_NAMES, type ContractName, type Language } from '../contracts/contract.ts';
import { contracts } from '../contracts/merged.ts';
import { openApiDocument } from './openapi.ts';
import type { RouteSet } from './route.ts';

/** Nothing on these pages may come from another address; both viewers set styles from script. */
const CONTENT_POLICY =
  "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src 'self' blob:; font-src 'self' data:";

const require = createRequire(import.meta.url);

/** The files of the two viewers, from the installed packages. */
const assets = (): Record<string, string> => {
  const swagger = dirname(require.resolve('swagger-ui-dist/package.json'));
  return {
    'swagger-ui.css': join(swagger, 'swagger-ui.css'),
    'swagger-ui-bundle.js': join(swagger, 'swagger-ui-bundle.js'),
    'swagger-ui-standalone-preset.js': join(swagger, 'swagger-ui-standalone-preset.js'),
    'redoc.standalone.js': join(dirname(require.resolve('redoc/package.json')), 'bundles', 'redoc.standalone.js'),
  };
};

export interface DocsOptions {
  routeSets: readonly RouteSet[];
  version: string;
  language(ctx: Context): Language;
}

/** `/openapi/<contract>.json`, Swagger UI at `/docs` and ReDoc at `/redoc`. */
export function addDocs(router: Router, { routeSets, version, language }: DocsOptions): void {
  const files = assets();
  const served = CONTRACT_NAMES.filter((name) => routeSets.some(({ contract }) => contract === name));

  for (const name of served) {
    router.get(`/openapi/${name}.json`, (ctx) => {
      ctx.body = openApiDocument(name, routeSets, version, language(ctx));
    });
  }
  for (const [name, path] of Object.entries(files)) {
    router.get(`/docs/assets/${name}`, (ctx) => {
      ctx.type = extname(name);
      ctx.set('Cache-Control', 'public, max-age=86400');
      ctx.body = createReadStream(path);
    });
  }
  script(router, '/docs/assets/swagger-init.js', (ctx) => {
    const urls = served.map((name) => ({ url: `/openapi/${name}.json`, name: contracts[name].title[language(ctx)] }));
    return `SwaggerUIBundle({ urls: ${JSON.stringify(urls)}, dom_id: '#docs', deepLinking: true, persistAuthorization: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset], layout: 'StandaloneLayout', validatorUrl: null });`;
  });
  for (const name of served) {
    script(
      router,
      `/docs/assets/redoc-${name}.js`,
      () =>
        `Redoc.init('/openapi/${name}.json', { hideLoading: true, disableSearch: false }, document.getElementById('docs'));`,
    );
  }

  page(router, '/docs', language, () => ({
    head: '<link rel="stylesheet" href="/docs/assets/swagger-ui.css">',
    body: '<div id="docs"></div>',
    scripts: ['swagger-ui-bundle.js', 'swagger-ui-standalone-preset.js', 'swagger-init.js'],
  }));
  page(router, '/redoc', language, (ctx, spoken) => {
    const asked = served.find((name) => name === ctx.query.api) ?? served[0];
    return {
      head: `<style>body{margin:0}nav{padding:8px 16px;font:14px sans-serif;border-bottom:1px solid #ddd}nav a{margin-right:16px}nav a[aria-current]{font-weight:bold}</style>`,
      body: `<nav>${served.map((name) => link(name, name === asked, spoken)).join('')}</nav><div id="docs"></div>`,
      scripts: ['redoc.standalone.js', ...(asked === undefined ? [] : [`redoc-${asked}.js`])],
    };
  });
}

const link = (name: ContractName, current: boolean, language: Language) =>
  `<a href="/redoc?api=${name}"${current ? ' aria-current="page"' : ''}>${contracts[name].title[language]}</a>`;

function script(router: Router, path: string, source: (ctx: Context) => string): void {
  router.get(path, (ctx) => {
    ctx.type = 'js';
    ctx.body = source(ctx);
  });
}

function page(
  router: Router,
  path: string,
  language: (ctx: Context) => Language,
  content: (ctx: Context, language: Language) => { head: string; body: string; scripts: string[] },
): void {
  router.get(path, (ctx) => {
    const spoken = language(ctx);
    const { head, body, scripts } = content(ctx, spoken);
    ctx.set('Content-Security-Policy', CONTENT_POLICY);
    ctx.type = 'html';
    ctx.body = `<!doctype html>
<html lang="${spoken}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Koagent API</title><link rel="icon" href="data:,">${head}</head>
<body>${body}${scripts.map((file) => `<script src="/docs/assets/${file}"></script>`).join('')}</body></html>`;
  });
}
