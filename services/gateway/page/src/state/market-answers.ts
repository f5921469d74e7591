// What the market said last about each ingredient, and when it is asked again: the reason why an order waits.

import { computed } from "@preact/signals";

import type { Purchase, Timestamp } from "../api/types";
import { age } from "../text/format";
import { now } from "./clock";
import { view } from "./view";

export interface MarketAnswer {
  /** How many purchases in a row sold none, up to the newest that is answered. */
  zeros: number;
  /** Since when the oldest open purchase waits for its answer. */
  openSince?: Timestamp;
}

const NOTHING: Purchase[] = [];
const purchases = computed(() => view.value?.purchases ?? NOTHING);

/** The market's last answers, by ingredient. */
export const marketAnswers = computed(() => {
  const answers = new Map<string, MarketAnswer>();
  const sold = new Set<string>();
  for (const { ingredient, status, quantity, asked_at } of purchases.value) {
    const answer = answers.get(ingredient) ?? { zeros: 0 };
    answers.set(ingredient, answer);
    if (status === "open") answer.openSince = asked_at;
    else if (status === "done" && quantity > 0) sold.add(ingredient);
    else if (status === "done" && !sold.has(ingredient)) answer.zeros += 1;
  }
  return answers;
});

/** Returns how long it takes until the market is asked again for an ingredient; empty if that is not known. */
export function untilNextAttempt(ingredient: string): string {
  const at = view.value?.stock.find((shelf) => shelf.ingredient === ingredient)?.next_attempt_at;
  const ms = at === undefined ? 0 : Date.parse(at) - now.value;
  // Rounded: the clock may be a second old.
  return ms > 0 ? age(Math.max(ms + 500, 1_000)) : "";
}
