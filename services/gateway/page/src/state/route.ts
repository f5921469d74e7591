// Which view is shown: the fragment of the address, so that each view can be linked to and Back works.

import { signal } from "@preact/signals";

export const TABS = ["kitchen", "stock", "history", "recipes", "services", "proof"] as const;
export type Tab = (typeof TABS)[number];

export interface Route {
  view: Tab | "wall";
  /** Of `history`: the order whose story is shown. */
  order?: string;
}

export const route = signal<Route>(parse(location.hash));

export function startRoutes(): void {
  window.addEventListener("hashchange", () => {
    route.value = parse(location.hash);
  });
}

export function go(hash: string): void {
  location.hash = hash;
}

/** Returns the token of a sign-in link, if this is one. */
export function signInToken(): string | null {
  return /^#sign-in=(.+)$/.exec(location.hash)?.[1] ?? null;
}

/** Removes the token of a sign-in link from the address and from the browser's history. */
export function forgetToken(): void {
  history.replaceState(null, "", location.pathname);
  route.value = parse("");
}

function parse(hash: string): Route {
  const [name, order] = hash.slice(1).split("/", 2);
  if (name === "wall") return { view: "wall" };
  const view = TABS.find((tab) => tab === name) ?? "kitchen";
  return view === "history" && order ? { view, order } : { view };
}
