import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeText, looksLikeText } from '../../core/encoding.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const utf16 = (text: string, big: boolean) => {
  const made = Buffer.from(text, 'utf16le');
  return new Uint8Array(big ? made.swap16() : made);
};

test('short texts, as in small tables and notes: the encoding is that of the text that makes sense', () => {
  // Encoded by iconv.
  const samples: [string, string, string][] = [
    ['中国银行', 'gb18030', 'd6d0 b9fa d2f8 d0d0'],
    ['营业收入增长', 'gb18030', 'd3aa d2b5 cad5 c8eb d4f6 b3a4'],
    ['1,张三,100', 'gb18030', '312c d5c5 c8fd 2c31 3030'],
    ['臺灣的醫院與大學', 'big5', 'bb4f c657 aaba c2e5 b07c bb50 a46a bec7'],
    ['これは日本語の文章です。', 'shift_jis', '82b1 82ea 82cd 93fa 967b 8cea 82cc 95b6 8fcd 82c5 82b7 8142'],
    ['café', 'windows-1252', '6361 66e9'],
    ['Größe der Straße', 'windows-1252', '4772 f6df 6520 6465 7220 5374 7261 df65'],
  ];
  for (const [text, encoding, hex] of samples) assert.deepEqual(decodeText(bytes(hex)), { text, encoding }, text);
});

test('UTF-16 without a mark: also when no blank and no letter of ASCII tells the side', () => {
  for (const big of [false, true]) {
    const encoding = big ? 'utf-16be' : 'utf-16le';
    for (const text of [
      '本研究由青岚医院与云岭大学合作完成，共纳入三百二十名绝经后女性。',
      '一,name,上一个,100',
      'plain text\r\n',
    ])
      assert.deepEqual(decodeText(utf16(text, big)), { text, encoding }, text);
  }
});

test('what is no text is told from text', () => {
  assert.equal(looksLikeText(bytes('89504e47 0d0a1a0a 0000000d 49484452')), false);
  assert.equal(looksLikeText(Uint8Array.from({ length: 4096 }, (_, at) => (at * 197 + 13) % 256)), false);
});
