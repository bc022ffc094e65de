import type { LabelledValue, ReportLanguage } from '../render/document.ts';
import { shorten, withoutMarks } from '../render/text.ts';

const LABELS: Record<string, { zh: string; en: string }> = {
  enterpriseId: { zh: '企业编号', en: 'Enterprise id' },
  enterpriseName: { zh: '企业名称', en: 'Enterprise' },
  companyName: { zh: '企业名称', en: 'Company' },
  reportType: { zh: '报告类型', en: 'Report type' },
  loanAmount: { zh: '申请金额', en: 'Loan amount' },
  loanTerm: { zh: '贷款期限', en: 'Loan term' },
  loanPurpose: { zh: '贷款用途', en: 'Loan purpose' },
};

const VALUES: Record<string, { zh: string; en: string }> = {
  PRE_LOAN_INVESTIGATION: { zh: '贷前调查', en: 'Pre-loan investigation' },
};

/** Of the title page, and of what writers are told about the task. */
const COVER_LIMITS = { entries: 200, chars: 2000 };

/** The entries of a client's free object (parameters, metadata) as people read them; inner objects as JSON. */
export function labelled(
  free: Record<string, unknown>,
  language: ReportLanguage,
  limits = COVER_LIMITS,
): LabelledValue[] {
  return Object.entries(free)
    .filter(([, value]) => value !== null && value !== '')
    .slice(0, limits.entries)
    .map(([key, value]) => {
      const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
      const known = Object.hasOwn(VALUES, text) ? VALUES[text] : undefined;
      const label = Object.hasOwn(LABELS, key) ? LABELS[key] : undefined;
      return {
        label: withoutMarks(shorten(label?.[language] ?? key, 100)),
        value: withoutMarks(shorten(known?.[language] ?? text, limits.chars)),
      };
    });
}

/** The same as lines of material: `- name: value`. */
export const factLines = (values: readonly LabelledValue[]): string =>
  values.map(({ label, value }) => `- ${label}: ${value.replace(/\s+/g, ' ')}`).join('\n');
