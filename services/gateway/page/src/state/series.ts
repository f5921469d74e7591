// The last five minutes, second by second: what the charts show. It is bounded, and forgets the rest.

import { signal } from "@preact/signals";

import type { View } from "../api/types";
import { latestView } from "./view";

export const SECONDS_SHOWN = 300;

export interface Second {
  /** When, by this machine's clock. */
  at: number;
  /** Orders delivered in this second; null if that is not known. */
  delivered: number | null;
  /** The median of how long those deliveries took that the feed showed; null if it showed none. */
  medianMs: number | null;
}

/** One entry a second, the oldest first. */
export const series = signal<Second[]>([]);

let before: View | null = null;

/** Notes one second. */
export function sample(): void {
  const view = latestView();
  if (view === null) return;
  // Data that begin anew have smaller totals.
  const delivered = before === null ? null : view.summary.delivered - before.summary.delivered;
  const isKnown = delivered !== null && delivered >= 0;
  const entry: Second = {
    at: Date.now(),
    delivered: isKnown ? delivered : null,
    medianMs: isKnown && before !== view ? medianMs(view, before) : null,
  };
  before = view;
  series.value = [...series.value.slice(-(SECONDS_SHOWN - 1)), entry];
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
