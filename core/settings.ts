import { defineService } from './service.ts';

/** What plugins may know of the environment; the composition root provides it from `config/settings.ts`. */
export interface CoreSettings {
  /** Signs access and refresh tokens. */
  readonly jwtSecret: string;
  /** The value of an environment variable that the manifest names: a credential, never to be logged. */
  variable(name: string): string | undefined;
  /** The first administrator: made, or brought up to date, at start. */
  readonly admin?: { readonly email: string; readonly password: string } | undefined;
}

export const settingsService = defineService<CoreSettings>('settings');
