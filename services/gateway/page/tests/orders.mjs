import assert from "node:assert/strict";
import { test } from "node:test";

import { ask, open, settle, signedIn, until, withPage } from "./browser.mjs";

test("an order from the page passes the kitchen and arrives in the history", async () => {
  await withPage(await signedIn(), async (page) => {
    await open(page, "kitchen");
    await page.getByLabel("Dish").selectOption("pizza");
    const answer = page.waitForResponse((response) => response.url().endsWith("/v1/orders"));
    await page.getByRole("button", { name: "Order one" }).click();
    const [order] = (await (await answer).json()).orders;
    await page.getByText("1 order accepted").first().waitFor();
    await page.locator(".lane-cooking .card", { hasText: "pizza" }).first().waitFor();
    await page.getByRole("link", { name: "History", exact: true }).click();
    const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: `Order ${order.number}`, exact: true }) });
    await row.filter({ hasText: "delivered" }).waitFor();
    await row.filter({ hasText: "pizza" }).getByRole("link").click();
    await page.getByRole("heading", { level: 1, name: `Story of order #${order.number}` }).waitFor();
    for (const event of ["order.placed", "cooking.started", "order.delivered"]) {
      await page.getByRole("rowheader", { name: event, exact: true }).waitFor();
    }
  });
});

test("a hundred orders at once are all delivered", async () => {
  await withPage(await signedIn(), async (page) => {
    await open(page, "kitchen");
    const before = (await ask(page, "GET", "/v1/summary")).delivered;
    const fifty = page.getByRole("button", { name: "Order fifty" });
    for (let press = 0; press < 2; press += 1) {
      const answer = page.waitForResponse((response) => response.url().endsWith("/v1/orders"));
      await fifty.click();
      assert.equal((await answer).status(), 202);
      await until(async () => (await fifty.getAttribute("aria-disabled")) === "false", "the answer to be shown");
    }
    await page.locator(".card").first().waitFor();
    assert.ok((await page.locator(".card").count()) <= 64, "the feed shows 64 orders in flight at most");
    await until(async () => (await ask(page, "GET", "/v1/summary")).delivered >= before + 100, "a hundred deliveries");
    const delivered = new Intl.NumberFormat("en").format(before + 100);
    await page.locator(".total", { hasText: "Delivered" }).getByText(delivered, { exact: true }).waitFor();
    await settle(page);
  });
});

test("an order is placed with the keyboard alone", async () => {
  await withPage(await signedIn(), async (page) => {
    await open(page, "kitchen");
    await page.keyboard.press("Tab");
    await until(async () => /skip/.test(await focused(page, "className")), "the skip link to have the focus");
    await page.keyboard.press("Enter");
    assert.equal(await focused(page, "id"), "main");
    for (let press = 0; (await focused(page, "textContent")) !== "Order one"; press += 1) {
      assert.ok(press < 10, "the button should be near");
      await page.keyboard.press("Tab");
    }
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, "solid", "the focus should be visible");
    await page.keyboard.press("Enter");
    await page.getByText("1 order accepted").first().waitFor();
    await page.locator(".tabs a").first().focus();
    await page.keyboard.press("ArrowRight");
    assert.equal(await focused(page, "textContent"), "Stock");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Stock" }).waitFor();
    await page.keyboard.press("End");
    await page.keyboard.press("Enter");
    await page.locator(".wall").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("heading", { level: 1, name: "Kitchen" }).waitFor();
    await settle(page);
  });
});

test("two viewers see the same", async () => {
  const options = await signedIn();
  await withPage(options, async (one) => {
    await withPage(options, async (other) => {
      await open(one, "kitchen");
      await open(other, "kitchen");
      await one.getByRole("button", { name: "Order fifty" }).click();
      await other.locator(".card").first().waitFor();
      await settle(one);
      const totals = (page) => page.locator(".total dd").allInnerTexts();
      const shown = async (page) => (await totals(page)).filter((_, index) => index !== 4).join(" ");
      await until(async () => (await shown(one)).startsWith("0 ") && (await shown(one)) === (await shown(other)), "the same totals");
    });
  });
});

test("the history pages through all orders, and filters them", async () => {
  await withPage(await signedIn(), async (page) => {
    await open(page, "history");
    await page.getByLabel("State").selectOption("delivered");
    const numbers = async () => (await page.locator("tbody td:first-child a").allInnerTexts()).map((text) => Number(text.slice(1)));
    await until(async () => (await numbers()).length === 50, "a page");
    const first = await numbers();
    await page.getByRole("button", { name: "Older" }).click();
    await until(async () => (await numbers())[0] < first.at(-1), "the page before");
    await page.getByRole("button", { name: "Newer" }).click();
    await until(async () => (await numbers())[0] === first[0], "the page again");
    await page.getByLabel("Dish").selectOption("pizza");
    await until(async () => {
      const dishes = await page.locator("tbody th").allInnerTexts();
      return dishes.length > 0 && dishes.every((dish) => dish === "pizza");
    }, "pizza alone");
    await page.getByLabel("Placed before").fill("2020-01-01T00:00:00");
    await page.getByText("No such order.").waitFor();
  });
});

test("the audit finds nothing lost, and its badge stays", async () => {
  await withPage(await signedIn(), async (page) => {
    await open(page, "proof");
    await page.getByRole("button", { name: "Run the audit" }).click();
    await page.getByRole("heading", { name: "Nothing lost" }).waitFor();
    await page.getByRole("link", { name: "Kitchen" }).click();
    await page.locator(".badge.has-passed").waitFor();
    await page.reload();
    await page.locator(".badge.has-passed").waitFor();
  });
});

function focused(page, property) {
  return page.evaluate((name) => document.activeElement[name], property);
}
