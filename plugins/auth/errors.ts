import { AppError, type ErrorKind, type LocalText } from '../../core/errors.ts';

const plain = (kind: ErrorKind, code: string, zh: string, en: string) => () => new AppError(kind, code, { zh, en });

/** A rule about one field; the message stands with the field in the contracts that list fields. */
const field = (code: string, name: string, zh: string, en: string) => () => wrongField(code, name, { zh, en });

const wrongField = (code: string, name: string, message: LocalText) =>
  new AppError('invalid', code, message, { fields: [{ field: name, message }] });

export const emailInvalid = field('EMAIL_INVALID', 'email', '邮箱格式不正确', 'The email address has a wrong form');
export const usernameInvalid = field(
  'USERNAME_INVALID',
  'username',
  '用户名格式不正确：3-50 个字符，不能含空白或 @',
  'The user name has a wrong form: 3-50 characters without blanks and @',
);
export const avatarInvalid = field(
  'AVATAR_INVALID',
  'avatarUrl',
  '头像地址必须是 http 或 https 链接',
  'The picture needs an http or https address',
);
export const profileEmpty = field('PROFILE_EMPTY', 'body', '至少需要一个字段', 'At least one field is needed');
export const weakPassword = (name: string, message: LocalText) => wrongField('WEAK_PASSWORD', name, message);
export const passwordWrong = field('PASSWORD_WRONG', 'oldPassword', '旧密码不正确', 'The old password is wrong');
export const passwordUnchanged = field(
  'PASSWORD_UNCHANGED',
  'newPassword',
  '新密码不能与旧密码相同',
  'The new password must differ from the old one',
);

export const emailTaken = plain('conflict', 'EMAIL_TAKEN', '该邮箱已被注册', 'The email address is registered already');
export const usernameTaken = plain('conflict', 'USERNAME_TAKEN', '该用户名已被使用', 'The user name is taken');
export const registrationClosed = plain(
  'forbidden',
  'REGISTRATION_CLOSED',
  '本系统未开放注册，请联系管理员',
  'Registration is closed; ask the administrator',
);
/** The same for an unknown account and a wrong password, so that accounts cannot be probed. */
export const loginFailed = plain('unauthenticated', 'LOGIN_FAILED', '账号或密码错误', 'Wrong account or password');
export const loginBusy = () =>
  new AppError(
    'unavailable',
    'LOGIN_BUSY',
    { zh: '登录请求过多，请稍后再试', en: 'Too many logins at once, try again later' },
    { retryAfter: 2 },
  );
export const refreshInvalid = plain(
  'unauthenticated',
  'REFRESH_INVALID',
  '刷新令牌无效或已使用',
  'The refresh token is invalid or was used',
);
export const accountNotFound = plain('not_found', 'ACCOUNT_NOT_FOUND', '用户不存在', 'The account does not exist');
export const ownAccount = plain(
  'conflict',
  'OWN_ACCOUNT',
  '不能修改自己账号的状态',
  'The status of one’s own account cannot be changed',
);

export const tenantInvalid = field(
  'TENANT_INVALID',
  'X-Tenant-Id',
  '租户标识格式不正确',
  'The tenant id has a wrong form',
);
export const tenantForbidden = plain('forbidden', 'TENANT_FORBIDDEN', '无权访问该租户', 'The tenant is not allowed');
export const apiNameTaken = (name: string) =>
  new AppError('conflict', 'API_ACCOUNT_EXISTS', {
    zh: `API 账号 ${name} 已存在，请先吊销`,
    en: `The API account ${name} exists; revoke it first`,
  });
export const apiNameInvalid = plain(
  'invalid',
  'API_NAME_INVALID',
  'API 账号名为 1-64 个字符：小写字母、数字、点、下划线、连字符',
  'The name of an API account has 1-64 characters: a-z, 0-9, dot, underscore, hyphen',
);
