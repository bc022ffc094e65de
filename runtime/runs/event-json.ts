import type { RunEvent } from './service.ts';

/**
 * Makes a projection that is worked out once per event however many followers get it: all subscribers of a log are given the
 * same event objects. `make` must not depend on anything but the event.
 */
export function perEvent<T>(make: (event: RunEvent) => T): (event: RunEvent) => T {
  const made = new WeakMap<RunEvent, { value: T }>();
  return (event) => {
    const entry = made.get(event) ?? { value: make(event) };
    made.set(event, entry);
    return entry.value;
  };
}

/** The event as JSON text, serialised once for all followers. */
export const eventJson = perEvent((event) => JSON.stringify(event));
