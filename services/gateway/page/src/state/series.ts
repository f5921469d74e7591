// The last five minutes, second by second: what the charts show. It is bounded, and forgets the rest.

import { signal } from "@preact/signals";

import type { View } from "../api/types";
import { latestView } from "./view";

/** How much of the past is kept, in milliseconds. */
export const KEPT_MS = 300_000;

/** About a second: browsers tick less often in pages that are hidden. */
export interface Second {
  /** When it ended, by this machine's clock. */
  at: number;
  /** Orders delivered each second; null if that is not known. */
  delivered: number | null;
  /** The median of how long those deliveries took that the feed showed; null if it showed none. */
  medianMs: number | null;
}

/** One entry a second, the oldest first. */
export const series = signal<Second[]>([]);

let before: View | null = null;
let beforeAt = 0;

/** Notes one second. */
export function sample(): void {
  const view = latestView();
  if (view === null) return;
  // Data that begin anew have smaller totals.
  const delivered = before === null ? null : view.summary.delivered - before.summary.delivered;
  const isKnown = delivered !== null && delivered >= 0;
  const at = Date.now();
  const entry: Second = {
    at,
    delivered: isKnown ? delivered / Math.max(1, Math.round((at - beforeAt) / 1_000)) : null,
    medianMs: isKnown && before !== view ? medianMs(view, before) : null,
  };
  before = view;
  beforeAt = at;
  series.value = [...series.value.filter((kept) => at - kept.at < KEPT_MS), entry];
}

export function forgetSeries(): void {
  before = null;
  series.value = [];
}

/** Returns the orders delivered each second over the last seconds. */
export function deliveredPerSecond(entries: Second[], seconds: number): number {
  const known = entries.slice(-seconds).filter((entry) => entry.delivered !== null);
  const sum = known.reduce((all, entry) => all + (entry.delivered ?? 0), 0);
  return known.length === 0 ? 0 : sum / known.length;
}

function medianMs(view: View, earlier: View | null): number | null {
  const known = new Set(earlier?.orders.filter((ticket) => ticket.state === "delivered").map((ticket) => ticket.id));
  const took = view.orders
    .filter((ticket) => ticket.state === "delivered" && !known.has(ticket.id))
    .map((ticket) => Date.parse(ticket.changed_at) - Date.parse(ticket.placed_at))
    .sort((a, b) => a - b);
  return took.length === 0 ? null : (took[Math.floor(took.length / 2)] ?? null);
}
