import { isDuplicate } from '../../../core/data/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import { PackageNotFoundError, ReportConflictError, ReportInputError } from '../errors.ts';
import { checkFreeJson, DATA_LIMITS, SOURCE_LIMITS } from '../free-json.ts';
import { MAX_NODES } from '../outline.ts';
import type { ReportService } from '../public.ts';
import { assertAllowed } from '../rules.ts';
import type { ReportParts } from './parts.ts';
import type { States } from './states.ts';
import { packageView } from './views.ts';

type Packages = Pick<ReportService, 'postPackage' | 'confirmPackage'>;

/** Every node of the largest outline may have a unit of its own, and there is room for more. */
export const MAX_PACKAGES = 2 * MAX_NODES;
const MAX_TASK_BYTES = 32 * 1024 * 1024;

const alreadyConfirmed = () =>
  new ReportConflictError('DATA_PACKAGE_CONFIRMED', {
    zh: '资料包已确认，不能修改',
    en: 'The data package is confirmed',
  });

/** Data packages: one per task and knowledge unit, replaceable until somebody confirms it. */
export function createPackages(parts: ReportParts, states: States): Packages {
  const { packages } = parts;

  /** Tells watchers of a task that waits for data; while a step runs its own states are shown. */
  const tell = async (principal: Principal, taskId: string): Promise<void> => {
    const task = await states.transition(principal, taskId, async (current) => {
      if (current.status !== 'PENDING_DATA') return undefined;
      const all = await packages.in(principal).find({ taskId }, { fields: ['status'] });
      const confirmed = all.filter(({ status }) => status === 'CONFIRMED').length;
      return {
        stage: 'data_collect',
        message: {
          zh: `资料包 ${all.length} 个，已确认 ${confirmed} 个`,
          en: `${confirmed} of ${all.length} data packages are confirmed`,
        },
      };
    });
    if (task.status === 'PENDING_DATA') await states.announce(principal, task);
  };

  const assertRoom = async (principal: Principal, taskId: string, unit: string, bytes: number): Promise<void> => {
    const [sum] = await packages
      .in(principal)
      .aggregate<{ count: number; bytes: number }>([
        { $match: { taskId, knowledgeUnitId: { $ne: unit } } },
        { $group: { _id: null, count: { $sum: 1 }, bytes: { $sum: '$bytes' } } },
      ]);
    if ((sum?.count ?? 0) < MAX_PACKAGES && (sum?.bytes ?? 0) + bytes <= MAX_TASK_BYTES) return;
    throw new ReportConflictError('DATA_PACKAGE_LIMIT', {
      zh: `一个任务最多 ${MAX_PACKAGES} 个资料包，合计不超过 32 MiB`,
      en: `A task has at most ${MAX_PACKAGES} data packages of 32 MiB together`,
    });
  };

  return {
    async postPackage(principal, taskId, delivery) {
      const { knowledgeUnitId, status = 'READY', autoData = {}, manualData = '', dataSources = {} } = delivery;
      const errors = [
        checkFreeJson(autoData, 'autoData', { zh: '自动采集数据', en: 'Automatic data' }, DATA_LIMITS),
        checkFreeJson(dataSources, 'dataSources', { zh: '数据来源', en: 'Data sources' }, SOURCE_LIMITS),
      ].filter((error) => error !== undefined);
      if (errors.length > 0) throw new ReportInputError(errors);
      const task = await states.get(principal, taskId);
      assertAllowed('postPackage', task.status);
      const bytes = Buffer.byteLength(JSON.stringify(autoData)) + Buffer.byteLength(manualData);
      await assertRoom(principal, taskId, knowledgeUnitId, bytes);
      const values = { status, autoData, manualData, dataSources, bytes };
      const mine = packages.in(principal);
      const replace = () => mine.update({ taskId, knowledgeUnitId, status: { $ne: 'CONFIRMED' } }, { $set: values });
      let stored = await replace();
      if (!stored) {
        try {
          stored = await mine.insert({
            taskId,
            knowledgeUnitId,
            ...values,
            confirmerId: null,
            confirmerName: null,
            confirmTime: null,
          });
        } catch (error) {
          if (!isDuplicate(error)) throw error;
          // Either somebody delivered the same unit a moment ago, or it is confirmed.
          stored = await replace();
          if (!stored) throw alreadyConfirmed();
        }
      }
      await tell(principal, task._id);
      return packageView(stored);
    },

    async confirmPackage(principal, packageId, { confirmerId, confirmerName }) {
      const mine = packages.in(principal);
      const found = await mine.get(packageId);
      if (!found) throw new PackageNotFoundError(packageId);
      const task = await states.get(principal, found.taskId);
      assertAllowed('confirmPackage', task.status);
      const confirmed = await mine.update(
        { _id: packageId, status: 'READY' },
        {
          $set: {
            status: 'CONFIRMED',
            confirmerId: confirmerId ?? null,
            confirmerName: confirmerName ?? null,
            confirmTime: new Date(),
          },
        },
      );
      if (!confirmed) {
        const now = await mine.get(packageId);
        if (now?.status === 'CONFIRMED') {
          throw new ReportConflictError('DATA_PACKAGE_CONFIRMED', {
            zh: '资料包已确认',
            en: 'The data package is already confirmed',
          });
        }
        throw new ReportConflictError(
          'DATA_PACKAGE_NOT_READY',
          { zh: '资料包尚未就绪，不能确认', en: 'The data package is not ready for confirmation' },
          { status: now?.status ?? found.status },
        );
      }
      await tell(principal, task._id);
      return packageView(confirmed);
    },
  };
}
