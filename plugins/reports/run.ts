import { defineRunKind, type RunContext, type RunKind } from '../../core/run-kind.ts';
import { ReportNotFoundError } from './errors.ts';
import type { ReportFormat } from './public.ts';
import { fileIdOf } from './service/formats.ts';
import type { ReportParts } from './service/parts.ts';
import type { States } from './service/states.ts';
import { RUN_KIND, type StepInput, type StepResult } from './service/task-state.ts';
import { collectData } from './steps/collect.ts';
import { draftOutline } from './steps/outline.ts';
import { storeRendered } from './steps/render.ts';
import { writeReport } from './steps/report.ts';

/** One more format of a finished report; its log is its own, the task knows nothing of it. */
interface ExportInput {
  step: 'export';
  reportId: string;
  format: ReportFormat;
}

type Input = StepInput | ExportInput;
type Result = StepResult | { step: 'export'; fileSize: number };

/** Runs of this plugin: every step of a report task that takes time, and exports. */
export function reportRunKind(parts: ReportParts, states: States): RunKind {
  const carryOut = (run: RunContext<StepInput>): Promise<StepResult> => {
    const context = { run, parts, states };
    switch (run.input.step) {
      case 'outline':
        return draftOutline(context);
      case 'collect':
        return collectData(context);
      case 'report':
        return writeReport(context);
    }
  };

  return defineRunKind<Input, Result>({
    kind: RUN_KIND,

    async execute(run) {
      if (run.input.step !== 'export') return carryOut(run as RunContext<StepInput>);
      const { reportId, format } = run.input;
      const report = await parts.reports.in(run.principal).get(reportId);
      if (!report?.documentId) throw new ReportNotFoundError(reportId);
      const fileId = fileIdOf(report.runId, format);
      const fileSize = await storeRendered(run, parts, { documentId: report.documentId, fileId, format });
      return { step: 'export', fileSize };
    },

    async settled({ principal, runId, input, outcome }) {
      if (input.step === 'export') return;
      if (outcome.status === 'succeeded') {
        if (outcome.result.step === 'export') return;
        await states.settle(principal, runId, input, { status: 'succeeded', result: outcome.result });
      } else {
        await states.settle(principal, runId, input, outcome);
      }
    },
  }) as RunKind;
}
