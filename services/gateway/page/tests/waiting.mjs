import assert from "node:assert/strict";
import { test } from "node:test";

import { ask, open, picture, settle, signedIn, until, withPage } from "./browser.mjs";

/** Empties a shelf. */
async function empty(page, ingredient) {
  await ask(page, "POST", "/v1/stock/adjustments", { set: { [ingredient]: 0 } });
}

test("an order says what it waits for, and that the market sold none", async () => {
  await withPage(await signedIn(), async (page) => {
    await open(page, "stock");
    try {
      await ask(page, "PUT", "/v1/market", { zeros: 1 });
      await empty(page, "lemon");
      await ask(page, "POST", "/v1/orders", { dish: "salad" });
      await page.getByRole("link", { name: "Kitchen" }).click();
      const card = page.locator(".lane-waiting .card", { hasText: "salad" });
      await card.getByText(/1 lemon; the market sold none .*; next attempt in \d+s/).waitFor();
      await picture(page, "light-kitchen-waiting");
      await card.getByRole("link", { name: "1 lemon" }).click();
      await page.getByRole("heading", { level: 1, name: "Stock" }).waitFor();
      const shelf = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "lemon" }) }).first();
      assert.match(await shelf.innerText(), /lemon\s+0\s+1/);
      await page.getByRole("row").filter({ hasText: "none" }).first().waitFor();
      await picture(page, "light-stock-waiting");
      const zeros = page.getByLabel("Sells none");
      assert.equal(await zeros.getAttribute("aria-valuetext"), "100 %");
      await page.getByRole("button", { name: "Reset the market" }).click();
      await until(async () => (await zeros.getAttribute("aria-valuetext")) !== "100 %", "the market to be reset");
    } finally {
      await ask(page, "DELETE", "/v1/market");
    }
    await settle(page);
  });
});

test("a closed market is seen where an order waits, and a waiting order can be cancelled", async () => {
  await withPage(await signedIn(), async (page) => {
    await open(page, "stock");
    try {
      const closed = page.getByRole("switch");
      await closed.check();
      await until(async () => (await ask(page, "GET", "/v1/market")).settings.outage, "the market to close");
      await empty(page, "potato");
      const { orders } = await ask(page, "POST", "/v1/orders", { dish: "french fries" });
      await page.getByRole("link", { name: "Kitchen" }).click();
      const card = page.locator(".lane-waiting .card", { hasText: "french fries" });
      await card.getByText(/3 potato;.* the market has not answered for/).waitFor();
      await page.getByRole("button", { name: `Cancel order ${orders[0].number}` }).click();
      await card.waitFor({ state: "detached" });
    } finally {
      await ask(page, "DELETE", "/v1/market");
    }
    await settle(page);
  });
});
