// The few news that matter, for screen readers: one sentence at a time.

import { effect, signal } from "@preact/signals";

import { staleSince } from "../api/live";
import { words } from "../text/words";
import { lateOrders } from "./lateness";
import { orders, view } from "./view";

/** Of what waits to be told, this many at most: the newest. */
const TOLD_MAX = 4;
const EACH_MS = 1_500;
/** So many own orders are followed at most. */
const FOLLOWED_MAX = 20;

export const news = signal("");

let waiting: string[] = [];
let timer = 0;
const followed = new Set<string>();

export function tell(sentence: string): void {
  waiting = [...waiting, sentence].slice(-TOLD_MAX);
  if (timer === 0) next();
}

/** Tells when an order that was placed here ends. */
export function follow(order: string): void {
  const [oldest] = followed;
  if (followed.size === FOLLOWED_MAX && oldest !== undefined) followed.delete(oldest);
  followed.add(order);
}

export function startNews(): void {
  let wasStale = false;
  effect(() => {
    const isStale = staleSince.value !== null;
    if (isStale !== wasStale) tell(isStale ? words.newsStale : words.newsLive);
    wasStale = isStale;
  });
  let away = new Set<string>();
  effect(() => {
    const now = new Set(Object.keys(view.value?.away ?? {}));
    for (const name of now) if (!away.has(name)) tell(words.newsAway(name));
    for (const name of away) if (!now.has(name)) tell(words.newsBack(name));
    away = now;
  });
  let starts: Record<string, number | undefined> = {};
  effect(() => {
    const now = Object.entries(view.value?.services ?? {}).map(([name, service]) => [name, service.starts] as const);
    for (const [name, count = 0] of now) if (count > (starts[name] ?? Infinity)) tell(words.newsStarted(name));
    starts = Object.fromEntries(now);
  });
  let late = new Set<string>();
  effect(() => {
    const now = new Map(lateOrders.value.map(({ ticket }) => [ticket.id, ticket]));
    for (const [id, ticket] of now) if (!late.has(id)) tell(words.newsLate(ticket.number, ticket.dish ?? ""));
    late = new Set(now.keys());
  });
  effect(() => {
    if (followed.size === 0) return;
    for (const ticket of orders.value) {
      if (ticket.state === "delivered" && followed.delete(ticket.id)) tell(words.newsDelivered(ticket.number, ticket.dish ?? ""));
      else if (ticket.state === "cancelled" || ticket.state === "rejected") followed.delete(ticket.id);
    }
  });
}

function next(): void {
  const sentence = waiting.shift();
  timer = 0;
  if (sentence === undefined) return;
  news.value = sentence;
  timer = window.setTimeout(next, EACH_MS);
}
