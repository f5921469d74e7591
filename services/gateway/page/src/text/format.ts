// Figures and moments as people read them: ages as in the terminal's board, figures as the browser's language writes them.

import type { Quantities, Timestamp } from "../api/types";
import { words } from "./words";

const figures = new Intl.NumberFormat(words.language);
const rates = new Intl.NumberFormat(words.language, { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const seconds = new Intl.NumberFormat(words.language, { maximumFractionDigits: 2, minimumFractionDigits: 2 });
const times = new Intl.DateTimeFormat(words.language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const datesAndTimes = new Intl.DateTimeFormat(words.language, { dateStyle: "medium", timeStyle: "medium", hour12: false });
const days = new Intl.DateTimeFormat(words.language, { day: "numeric", month: "short" });

export function figure(count: number): string {
  return figures.format(count);
}

export function rate(perSecond: number): string {
  return rates.format(perSecond);
}

/** Returns how long ago something was, in at most six letters. */
export function age(ms: number): string {
  const all = Math.max(0, Math.floor(ms / 1_000));
  const [minutes, hours, dayCount] = [Math.floor(all / 60), Math.floor(all / 3_600), Math.floor(all / 86_400)];
  const two = (count: number): string => String(count).padStart(2, "0");
  if (all < 60) return `${all}s`;
  if (all < 3_600) return `${minutes}m${two(all % 60)}s`;
  if (all < 86_400) return `${hours}h${two(minutes % 60)}m`;
  return `${dayCount}d${two(hours % 24)}h`;
}

/** Returns how long something took. */
export function took(ms: number): string {
  const some = Math.max(0, ms);
  if (some < 1_000) return `${Math.round(some)} ms`;
  return some < 60_000 ? `${seconds.format(some / 1_000)} s` : age(some);
}

/** Returns the time of day. */
export function time(moment: Timestamp | number): string {
  return times.format(typeof moment === "number" ? moment : Date.parse(moment));
}

/** Returns the time of day, with the day unless it is today. */
export function timeAndDay(moment: Timestamp): string {
  const date = new Date(moment);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? time(moment) : `${days.format(date)} ${time(moment)}`;
}

export function dateAndTime(moment: Timestamp): string {
  return datesAndTimes.format(Date.parse(moment));
}

export function ingredient(name: string): string {
  return known(words.ingredients, name) ?? name;
}

/** Returns the page's own words for what the gateway says under a name; undefined if it has none. */
export function said(name: string): string | undefined {
  return known(words.said, name);
}

/** Returns what something waits for: one of a few things, or quantities as the gateway lists them. */
export function awaited(what: string): string {
  return said(what) ?? what.replace(/(\d+) ([^,]+)/g, (_, quantity: string, name: string) => `${quantity} ${ingredient(name)}`);
}

function known(all: Record<string, string>, name: string): string | undefined {
  return Object.hasOwn(all, name) ? all[name] : undefined;
}

/** Returns quantities as a list: `2 lemon, 1 tomato`. */
export function quantities(all: Quantities): string {
  return Object.entries(all)
    .map(([name, quantity]) => `${figure(quantity)} ${ingredient(name)}`)
    .join(", ");
}
