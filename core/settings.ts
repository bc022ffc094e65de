import { defineService } from './service.ts';

/** What plugins may know of the environment; the composition root provides it from `config/settings.ts`. */
export interface CoreSettings {
  /** Signs access and refresh tokens. */
  readonly jwtSecret: string;
  /** The first administrator: made, or brought up to date, at start. */
  readonly admin?: { readonly email: string; readonly password: string } | undefined;
}

export const settingsService = defineService<CoreSettings>('settings');
