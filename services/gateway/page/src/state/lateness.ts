// An order is late when it takes longer than 95 of 100 deliveries of its own dish did.

import { computed } from "@preact/signals";

import type { DishTimes, Ticket } from "../api/types";
import { now } from "./clock";
import { dishes, inFlight } from "./view";

/** Fewer deliveries say nothing about how long a dish takes. */
const DELIVERED_MIN = 20;

/** Returns the time that a delivery of a dish takes at most, usually; undefined if too few are known. */
export function expectedMs(dish: string | undefined, times: Record<string, DishTimes>): number | undefined {
  const known = dish !== undefined && Object.hasOwn(times, dish) ? times[dish] : undefined;
  return known !== undefined && known.delivered >= DELIVERED_MIN ? known.p95_ms : undefined;
}

/** Returns by how much an order is late, in milliseconds; 0 if it is not. */
export function lateMs(ticket: Ticket, nowMs: number, times: Record<string, DishTimes>): number {
  const expected = expectedMs(ticket.dish, times);
  return expected === undefined ? 0 : Math.max(0, nowMs - Date.parse(ticket.placed_at) - expected);
}

/** The orders that are late, the latest one first. */
export const lateOrders = computed(() =>
  inFlight.value
    .map((ticket) => ({ ticket, ms: lateMs(ticket, now.value, dishes.value) }))
    .filter((late) => late.ms > 0)
    .sort((a, b) => b.ms - a.ms),
);
