// Time as it passes: ages are rendered once a second, all together.

import { signal } from "@preact/signals";

import { snapshot } from "./snapshot";
import { gatewayNow } from "./view";

/** What the gateway's clock shows, in milliseconds; in a snapshot, when it was taken. */
export const now = signal(snapshot === null ? Date.now() : Date.parse(snapshot.taken_at));

/** Begins to tick; `onTick` is called each second, also while the page is hidden. */
export function startClock(onTick: () => void): void {
  window.setInterval(() => {
    onTick();
    if (!document.hidden) now.value = gatewayNow();
  }, 1_000);
  document.addEventListener("visibilitychange", () => {
    now.value = gatewayNow();
  });
}
