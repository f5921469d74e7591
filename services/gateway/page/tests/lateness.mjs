import assert from "node:assert/strict";
import { test } from "node:test";

import { picture, signedIn, url, withPage } from "./browser.mjs";
import { makeUpFeed, makeView, purchase, secondsAgo, secondsFromNow, shelf, tell, ticket } from "./feed.mjs";

/** A busy evening: one pizza is late, a salad waits, and a dish that was delivered 19 times can't be late. */
export function evening() {
  const delivered = Array.from({ length: 12 }, (_, index) => ticket(index + 1, "delivered", ["pizza", "burger", "salad"][index % 3], 60 - index, { changed_at: secondsAgo(20 - index) }));
  return makeView({
    summary: { placed: 1_284, delivered: 1_271, in_flight: 13, waiting_for_ingredients: 2, cooking: 6, delivery: { count: 1_271, mean_ms: 8_000, p50_ms: 7_400, p99_ms: 21_000 } },
    orders: [
      ...delivered,
      ticket(20, "cooking", "pizza", 64, { stove: 1 }),
      ticket(21, "cooking", "burger", 12, { stove: 2 }),
      ticket(22, "cooking", "rice with meat", 300, { stove: 3 }),
      ticket(23, "cooking", "salad", 6, { stove: 5 }),
      ticket(24, "cooking", "french fries", 5, { stove: 6 }),
      ticket(25, "cooking", "rice with chicken", 4, { stove: 8 }),
      ticket(26, "waiting", "salad", 18, { missing: { lemon: 2 } }),
      ticket(27, "waiting", "pizza", 15, { missing: { cheese: 1, tomato: 3 } }),
      ticket(28, "reserved", "burger", 3),
      ticket(29, "requested", "pizza", 1),
      ticket(30, "placed", undefined, 1),
      ticket(31, "placed", undefined, 0),
      ticket(32, "ready", "burger", 2, { stove: 4 }),
    ],
    stock: [shelf("cheese", 0, 1), shelf("lemon", 0, 2, { next_attempt_at: secondsFromNow(4) }), shelf("onion", 7), shelf("rice", 12), shelf("tomato", 1, 3)],
    purchases: [purchase(9, "cheese", 0, "open"), purchase(8, "lemon", 0), purchase(7, "lemon", 0), purchase(6, "lemon", 0), purchase(5, "tomato", 4)],
    services: { board: {}, gateway: {}, inventory: {}, kitchen: { places: 8 }, market: {}, "market-sim": {}, orders: {} },
    dishes: {
      pizza: { delivered: 400, p50_ms: 9_000, p95_ms: 30_000 },
      salad: { delivered: 300, p50_ms: 9_000, p95_ms: 30_000 },
      burger: { delivered: 300, p50_ms: 9_000, p95_ms: 30_000 },
      "rice with meat": { delivered: 19, p50_ms: 9_000, p95_ms: 30_000 },
    },
  });
}

test("an order is late against the time of its own dish, and only if that is known", async () => {
  const late = async (page) => {
    await page.goto(`${url}/board#kitchen`);
    await tell(page, ["snapshot", evening()]);
    const card = page.locator(".card.is-late");
    await card.waitFor();
    assert.equal(await card.count(), 1);
    assert.match(await card.innerText(), /pizza\s+late by 3\ds\s+usually at most 30s/);
    assert.equal(await page.locator(".place").count(), 8, "all stoves of the kitchen");
    await page.locator(".waits li", { hasText: /2 lemon; the market sold none the last 3 times; next attempt in [1-4]s$/ }).waitFor();
    await page.locator(".waits li", { hasText: /2 lemon; the market sold none the last 3 times$/ }).waitFor();
    await page.getByRole("status").filter({ hasText: "Order 20, pizza, is late." }).waitFor({ state: "attached" });
    assert.match(await page.title(), /^\(1\) Kitchen/);
    await picture(page, "light-kitchen-late");
    await page.emulateMedia({ colorScheme: "dark" });
    await picture(page, "dark-kitchen-late");
    // What comes later makes another one late, and ends the first.
    const [first] = evening().orders.filter(({ number }) => number === 20);
    await tell(page, ["change", { at: new Date().toISOString(), orders: [{ ...first, state: "delivered" }], dishes: { burger: { delivered: 301, p50_ms: 900, p95_ms: 10_000 } } }]);
    await page.locator(".card.is-late", { hasText: "burger" }).waitFor();
    assert.equal(await card.count(), 1);
  };
  await withPage(await signedIn(), late, { prepare: makeUpFeed });
});

test("the wall has one amber card, and only when there is news", async () => {
  const wall = async (page) => {
    await page.goto(`${url}/board#wall`);
    const view = evening();
    await tell(page, ["snapshot", view]);
    await page.locator(".wall-news", { hasText: "#20 pizza" }).waitFor();
    assert.equal(await page.locator(".wall-news").count(), 1);
    const sizes = await page.locator(".wall-totals dd").evaluateAll((all) => all.map((one) => Number.parseFloat(getComputedStyle(one).fontSize)));
    assert.ok(Math.min(...sizes) >= 100, "the figures should be readable from afar");
    await picture(page, "light-wall-news");
    await page.emulateMedia({ colorScheme: "dark" });
    await picture(page, "dark-wall-news");
    await tell(page, ["change", { at: new Date().toISOString(), gone: view.orders.map(({ id }) => id), summary: { ...view.summary, waiting_for_ingredients: 0 } }]);
    await page.getByText("All is well").waitFor();
    await tell(page, ["change", { at: new Date().toISOString(), away: { kitchen: secondsAgo(5) } }]);
    await page.locator(".wall-news", { hasText: "kitchen does not answer" }).waitFor();
  };
  await withPage(await signedIn(), wall, { prepare: makeUpFeed });
});
