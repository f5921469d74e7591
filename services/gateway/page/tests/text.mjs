import assert from "node:assert/strict";
import { test } from "node:test";

import { ask, open, settle, signedIn, url, withPage } from "./browser.mjs";
import { makeUpFeed, makeView, purchase, shelf, tell, ticket } from "./feed.mjs";

const HOSTILE = `<img src=x onerror="document.title='hacked'">`;

test("an odd name of a dish is shown as it is", async () => {
  await withPage(await signedIn(), async (page) => {
    const dish = `ñandú 'o'-- ${"x".repeat(40)}`;
    await open(page, "kitchen");
    await ask(page, "PUT", "/v1/recipes", { recipes: [{ name: dish, ingredients: { rice: 1 }, cooking_time_ms: 100 }] });
    await page.getByRole("link", { name: "Recipes" }).click();
    await page.getByRole("heading", { level: 2, name: dish }).waitFor();
    await page.getByRole("link", { name: "Kitchen" }).click();
    await page.getByLabel("Dish").selectOption(dish);
    await page.getByRole("button", { name: "Order one" }).click();
    await page.locator(".card .dish", { hasText: dish }).first().waitFor();
    const isTooWide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
    assert.equal(isTooWide, false, "a long name should not widen the page");
    await settle(page);
    const { recipes } = await ask(page, "GET", "/v1/recipes");
    const rest = recipes.filter(({ name }) => name !== dish);
    await ask(page, "PUT", "/v1/recipes?replace_all=true", { recipes: rest });
  });
});

test("hostile text of the feed is shown as text in every view", async () => {
  const hostile = async (page) => {
    await page.goto(`${url}/board#kitchen`);
    const missing = { [HOSTILE]: 2 };
    const view = makeView({
      summary: { in_flight: 2, dishes: { [HOSTILE]: 1, __proto__: 1 } },
      orders: [
        ticket(1, "waiting", HOSTILE, 9, { missing }),
        ticket(2, "cooking", HOSTILE, 9, { stove: 1 }),
        ticket(3, "delivered", HOSTILE, 9),
        ticket(4, "delivered", "__proto__", 9),
      ],
      stock: [shelf(HOSTILE, 1, 2)],
      purchases: [purchase(1, HOSTILE, 0)],
      services: { [HOSTILE]: { ready: false, reason: HOSTILE, waiting: [{ what: HOSTILE, count: 1, awaits: HOSTILE }] } },
      away: { [HOSTILE]: new Date().toISOString() },
      dishes: { [HOSTILE]: { delivered: 50, p50_ms: 10, p95_ms: 20 } },
    });
    await tell(page, ["snapshot", view]);
    for (const name of ["kitchen", "stock", "history", "services", "recipes", "wall"]) {
      await page.evaluate((hash) => (location.hash = hash), name);
      if (name !== "recipes") await page.getByText(HOSTILE).first().waitFor();
      assert.equal(await page.locator("img").count(), 0);
    }
    assert.doesNotMatch(await page.title(), /hacked/);
  };
  await withPage(await signedIn(), hostile, { prepare: makeUpFeed });
});
