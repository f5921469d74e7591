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

test("the Spanish page says in Spanish what the gateway says in English", async () => {
  const problems = [
    { type: "/problems/busy", title: "The service has too much to do", detail: "Try again.", status: 503 },
    { type: "/problems/unheard-of", title: "Something else", detail: "Try again.", status: 500 },
  ];
  const prepare = async (page) => {
    await makeUpFeed(page);
    await page.route("**/v1/orders", (route) => {
      const problem = problems.shift();
      return route.fulfill({ status: problem.status, contentType: "application/problem+json", body: JSON.stringify(problem) });
    });
  };
  const spanish = async (page) => {
    await page.goto(`${url}/board#kitchen`);
    const waiting = [
      { what: "orders", count: 2, awaits: "4 cheese, 5 lemon" },
      { what: "dishes", count: 1, awaits: "a stove" },
      { what: "guests", count: 1, awaits: "a table" },
    ];
    await tell(page, ["snapshot", makeView({ services: { kitchen: { waiting } } })]);
    for (const title of ["El servicio tiene demasiado que hacer", "Something else"]) {
      await page.getByRole("button", { name: "Pedir uno" }).click();
      await page.locator(".strip-problem strong", { hasText: title }).waitFor();
    }
    assert.equal(await page.locator(".strip-problem [lang=en]").innerText(), "Try again.");
    await page.getByRole("link", { name: "Servicios" }).click();
    for (const text of ["pedidos24 queso, 5 limón", "platos1un fogón", "guests1a table"]) await page.getByRole("row").filter({ hasText: text }).waitFor();
    await page.getByRole("link", { name: "Prueba" }).click();
    await page.getByRole("button", { name: "Hacer la auditoría" }).click();
    await page.locator(".rule").first().waitFor();
    assert.deepEqual(await page.locator(".rule[lang=en]").allInnerTexts(), [], "src/text/es.ts should say each rule");
  };
  await withPage(await signedIn({ locale: "es-ES" }), spanish, { prepare, allowed: /status of 50\d .*\/v1\/orders/ });
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
