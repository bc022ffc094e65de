import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blocksFromData } from '../../../plugins/reports/material/blocks.ts';
import { unitOfLabel, withoutUnit } from '../../../plugins/reports/material/units.ts';
import { inOnePass } from '../../support/effort.ts';

test('units of labels: in brackets or after a colon, beside other words', () => {
  const cases: [label: string, unit: string, without: string][] = [
    ['营业收入(亿元)', '亿元', '营业收入'],
    ['营业收入 （亿元） ', '亿元', '营业收入'],
    ['Revenue (CNY million)', 'CNY million', 'Revenue'],
    ['每10股分红(含税,元)', '元', '每10股分红 (含税)'],
    ['每10股分红（含税，元）', '元', '每10股分红（含税）'],
    ['单位:万元', '万元', '单位:万元'],
    ['收入(合并)(万元)', '万元', '收入(合并)'],
    ['(万元)', '万元', '(万元)'],
    ['收入(其他)', '', '收入(其他)'],
    ['收入', '', '收入'],
  ];
  for (const [label, unit, without] of cases) {
    assert.equal(unitOfLabel(label), unit, label);
    assert.equal(withoutUnit(label), without, label);
  }
});

test('units of labels: a label of any length is read in one pass', async () => {
  for (const run of [' ', '(', '）', '( ', '单位:', '\u3000(']) {
    const long = `收入${run.repeat(200_000)}`;
    await inOnePass(() => {
      withoutUnit(`${long}x`);
      assert.equal(unitOfLabel(`${long}(万元)`), '万元');
      blocksFromData(
        { [long]: { [`2020年${long}`]: 1, [`2021年${long}`]: long }, rows: [{ [long]: long }] },
        { ref: 'D1', language: 'zh' },
      );
    }, run);
  }
});
