import { defineNode } from '../../../core/node.ts';
import {
  BODY_TYPES,
  encodeBody,
  METHODS,
  RESPONSE_FORMATS,
  readHeaders,
  readResponse,
  refuseStatus,
  withQuery,
} from '../../../core/outbound/http-call.ts';
import { outboundService } from '../../../core/outbound/outbound.ts';
import { freeObject, oneOf, Type } from '../../../core/schema.ts';

const UNSAFE = new Set(['POST', 'PATCH', 'PUT', 'DELETE']);

/** One HTTP request, through the guard of outgoing requests (private addresses only where the operator allows them). */
export default defineNode({
  type: 'http',
  version: 1,
  lane: 'shared',
  timeoutMs: 60_000,
  label: { zh: 'HTTP 请求', en: 'HTTP request' },
  summary: { zh: '发送 HTTP 请求并输出响应', en: 'Sends an HTTP request and gives the answer' },
  config: Type.Object({
    method: oneOf(METHODS, { default: 'GET', label: { zh: '方法', en: 'Method' } }),
    url: Type.String({
      minLength: 1,
      maxLength: 16_000,
      label: { zh: '地址', en: 'URL' },
      hint: { zh: 'http 或 https 地址，可使用模板', en: 'An http or https address; may hold templates' },
    }),
    headers: freeObject({ default: {}, editor: 'json', label: { zh: '请求头', en: 'Headers' } }),
    query: freeObject({
      default: {},
      editor: 'json',
      label: { zh: '查询参数', en: 'Query parameters' },
      hint: { zh: '自动编码；数组会重复参数', en: 'Encoded; a list repeats its parameter' },
    }),
    body_type: oneOf(BODY_TYPES, { default: 'json', label: { zh: '请求体类型', en: 'Type of the body' } }),
    body: Type.Optional(
      Type.Unknown({
        editor: 'json',
        label: { zh: '请求体', en: 'Body' },
        hint: {
          zh: 'JSON 值、文本或表单对象；留空则不发送',
          en: 'A JSON value, text, or an object for a form; empty: none',
        },
      }),
    ),
    response_format: oneOf(RESPONSE_FORMATS, {
      default: 'auto',
      label: { zh: '响应格式', en: 'Format of the answer' },
      hint: { zh: 'auto 按响应类型；bytes 为 base64', en: 'auto: by its content type; bytes: base64' },
    }),
    max_bytes: Type.Optional(
      Type.Integer({ minimum: 1, label: { zh: '响应大小上限（字节）', en: 'Most bytes of the answer' } }),
    ),
    max_redirects: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 20, label: { zh: '最多重定向次数', en: 'Most redirects' } }),
    ),
    fail_on_status: Type.Boolean({
      default: true,
      label: { zh: '状态码 400 及以上视为失败', en: 'Fail at status 400 and above' },
    }),
  }),
  input: Type.Unknown(),
  output: Type.Object({
    status: Type.Integer(),
    headers: Type.Record(Type.String(), Type.String()),
    body: Type.Unknown({ description: 'JSON, text, or base64' }),
    url: Type.String(),
  }),

  async run({ config, signal, idempotencyKey, service, log }) {
    const { method, headers, query, fail_on_status, response_format, max_bytes, max_redirects } = config;
    const url = withQuery(config.url, query);
    const { body, contentType } = encodeBody(config.body_type, config.body);
    const given = readHeaders(headers);
    const response = await service(outboundService).request(url, {
      method,
      headers: {
        ...(contentType && !Object.hasOwn(given, 'content-type') && { 'content-type': contentType }),
        // The same for every attempt of this step: a receiver that knows the header acts only once.
        ...(UNSAFE.has(method) && !Object.hasOwn(given, 'idempotency-key') && { 'idempotency-key': idempotencyKey }),
        ...given,
      },
      ...(body !== undefined && { body }),
      signal,
      limits: {
        ...(max_bytes !== undefined && { maxResponseBytes: max_bytes }),
        ...(max_redirects !== undefined && { maxRedirects: max_redirects }),
      },
    });
    log('debug', `${method} ${url.host}: ${response.status}`, { status: response.status, bytes: response.body.length });
    if (fail_on_status) refuseStatus(response);
    return readResponse(response, response_format);
  },
});
