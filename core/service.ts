/**
 * A typed key under which a plugin offers a service to others. The text is for messages only; identity is
 * the key itself.
 */
export interface ServiceKey<T> {
  readonly name: string;
  /** Never set; it carries the type. */
  readonly '~type'?: T;
}

/** Makes the key of a service; write it once, beside the interface, in the plugin's `public.ts`. */
export const defineService = <T>(name: string): ServiceKey<T> => Object.freeze({ name });

export type ServiceMap = Record<string, ServiceKey<unknown>>;

/** The services behind a map of keys. */
export type Services<K extends ServiceMap> = {
  [Name in keyof K]: K[Name] extends ServiceKey<infer T> ? T : never;
};
