// Time as it passes: ages are rendered once a second, all together.

import { signal } from "@preact/signals";

import { gatewayNow } from "./view";

/** What the gateway's clock shows, in milliseconds. */
export const now = signal(Date.now());

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
