// The restaurant as it is shown: the feed's snapshots with its changes applied, rendered at most once a frame and in a bounded
// share of the time.

import { computed, signal } from "@preact/signals";

import type { Change, DishTimes, Purchase, ServiceStatus, Ticket, TicketState, View } from "../api/types";

/** As PURCHASES_SHOWN_MAX of the gateway. */
const PURCHASES_SHOWN_MAX = 32;

const ENDS: ReadonlySet<TicketState> = new Set(["delivered", "cancelled", "rejected"]);

/** What is rendered; null until the first snapshot came. */
export const view = signal<View | null>(null);
export const orders = computed(() => view.value?.orders ?? []);
export const dishes = computed<Record<string, DishTimes>>(() => view.value?.dishes ?? {});
export const inFlight = computed(() => orders.value.filter((ticket) => !isEnd(ticket.state)));
/** The orders that ended, the last one first. */
export const ended = computed(() =>
  orders.value.filter((ticket) => isEnd(ticket.state)).sort((a, b) => compare(b.changed_at, a.changed_at) || b.number - a.number),
);

/** Rendering takes at most one part in so many of the time, so that a busy restaurant does not make the page slow to use. */
const RENDER_SHARE = 6;
/** The longest time between renders: one that took long for another reason does not hold back the next for longer. */
const PAUSE_MS_MAX = 1_000;

/** Since when the page watches, by the gateway's clock. */
let watchedSince = 0;
/** What came, of which a frame may not have been rendered yet. */
let latest: View | null = null;
let cameAt = 0;
let isScheduled = false;
/** Until then nothing is rendered, by the clock of `performance`. */
let pausedUntil = 0;

/** Returns the latest view, also one that is not rendered because the page is hidden. */
export function latestView(): View | null {
  return latest;
}

/** Returns what the gateway's clock shows, in milliseconds: everything is dated by it. */
export function gatewayNow(): number {
  return latest === null ? Date.now() : Date.parse(latest.at) + (performance.now() - cameAt);
}

/** Returns whether a service started again while the page watches. */
export function startedAgain({ starts, started_at }: ServiceStatus): boolean {
  return starts !== undefined && starts > 1 && started_at !== undefined && Date.parse(started_at) > watchedSince;
}

export function isEnd(state: TicketState): boolean {
  return ENDS.has(state);
}

export function showSnapshot(snapshot: View): void {
  if (latest === null) watchedSince = Date.parse(snapshot.at);
  // A gateway of an earlier version sends no times of dishes.
  show({ ...snapshot, dishes: snapshot.dishes ?? {} });
}

export function applyChange(change: Change): void {
  if (latest !== null) show(apply(latest, change));
}

/** Forgets everything, as when the user signs out. */
export function forget(): void {
  latest = null;
  view.value = null;
}

/** Returns the next view. What does not change stays the same object, so that its part is not rendered again. */
export function apply(before: View, change: Change): View {
  return {
    at: change.at,
    summary: change.summary ?? before.summary,
    orders: put(before.orders, change.orders, (one) => one.id, byNumber, change.gone),
    stock: put(before.stock, change.stock, (one) => one.ingredient, (a, b) => compare(a.ingredient, b.ingredient)),
    purchases: put(before.purchases, change.purchases, (one) => one.id, newestFirst).slice(0, PURCHASES_SHOWN_MAX),
    services: change.services ? { ...before.services, ...change.services } : before.services,
    away: change.away ?? before.away,
    pace: change.pace ?? before.pace,
    dishes: change.dishes ? { ...before.dishes, ...change.dishes } : before.dishes,
  };
}

function show(next: View): void {
  latest = next;
  cameAt = performance.now();
  if (isScheduled) return;
  isScheduled = true;
  const pauseMs = pausedUntil - performance.now();
  if (pauseMs <= 0) requestAnimationFrame(renderLatest);
  else window.setTimeout(() => requestAnimationFrame(renderLatest), pauseMs);
}

function renderLatest(): void {
  const began = performance.now();
  isScheduled = false;
  view.value = latest;
  // The task after the frame: by then it is laid out and painted.
  window.setTimeout(() => {
    const ended = performance.now();
    pausedUntil = ended + Math.min((ended - began) * (RENDER_SHARE - 1), PAUSE_MS_MAX);
  });
}

function put<T>(list: T[], changed: T[] = [], id: (one: T) => string, order: (a: T, b: T) => number, gone: string[] = []): T[] {
  if (changed.length === 0 && gone.length === 0) return list;
  const all = new Map(list.map((one) => [id(one), one]));
  for (const one of gone) all.delete(one);
  for (const one of changed) all.set(id(one), one);
  return [...all.values()].sort(order);
}

function byNumber(a: Ticket, b: Ticket): number {
  return a.number - b.number;
}

function newestFirst(a: Purchase, b: Purchase): number {
  return compare(b.id, a.id);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
