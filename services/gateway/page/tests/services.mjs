import assert from "node:assert/strict";
import { exec } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

import { ask, open, picture, settle, signedIn, until, url, withPage } from "./browser.mjs";
import { id, makeUpFeed, makeView, secondsAgo, tell } from "./feed.mjs";

/** A shell line that kills the kitchen's process, which something starts again. */
const KILL = process.env.CHEFCITO_PAGE_KILL;

function row(page, name) {
  return page.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: true }) });
}

test("a kitchen that is killed starts again, and nothing is lost", { skip: KILL === undefined && "CHEFCITO_PAGE_KILL is not set" }, async () => {
  const kill = async (page) => {
    await open(page, "services");
    const starts = async () => Number(await row(page, "kitchen").first().getByRole("cell").nth(1).innerText());
    const before = await starts();
    assert.ok(before >= 1, "the services should say how often they started");
    await ask(page, "POST", "/v1/orders", { orders: Array.from({ length: 20 }, () => ({})) });
    await promisify(exec)(KILL);
    await until(async () => (await starts()) > before, "the kitchen to start again");
    await row(page, "kitchen").filter({ hasText: "started again" }).waitFor();
    await settle(page);
    const summary = await ask(page, "GET", "/v1/summary");
    assert.equal(summary.placed, summary.delivered + summary.cancelled + summary.rejected);
    await page.getByRole("link", { name: "Proof" }).click();
    const audit = page.waitForResponse((response) => response.url().includes("/v1/audit") && response.ok());
    await page.getByRole("button", { name: "Run the audit" }).click();
    await audit;
    await page.locator(".badge.has-passed").waitFor();
  };
  // The audit that the page runs by itself may ask a kitchen that is not there yet.
  await withPage(await signedIn(), kill, { allowed: /status of 50\d .*\/v1\/(audit|dead-letters)/ });
});

test("a service that was away and is back makes the page check that nothing is lost", async () => {
  const away = async (page) => {
    await page.goto(`${url}/board#services`);
    await tell(page, ["snapshot", makeView({ services: { kitchen: {}, orders: {} } })]);
    await page.locator(".state.is-well").first().waitFor();
    await page.locator(".badge", { hasText: "Not checked yet" }).waitFor();
    await tell(page, ["change", { at: new Date().toISOString(), away: { kitchen: secondsAgo(3) } }]);
    await page.locator(".strip-away", { hasText: /kitchen does not answer since \d\d:\d\d:\d\d/ }).waitFor();
    await page.locator(".state.is-bad", { hasText: "away for" }).waitFor();
    await picture(page, "light-services-away");
    const audit = page.waitForResponse((response) => response.url().includes("/v1/audit"));
    await tell(page, ["change", { at: new Date().toISOString(), away: {} }]);
    assert.equal((await audit).status(), 200);
    await page.locator(".badge.has-passed").waitFor();
    assert.equal(await page.locator(".strip-away").count(), 0);
  };
  await withPage(await signedIn(), away, { prepare: makeUpFeed });
});

test("a service that started again is told, and how long it is up", async () => {
  const restart = async (page) => {
    await page.goto(`${url}/board#services`);
    const before = { starts: 1, started_at: secondsAgo(200) };
    const { services, ...view } = makeView({ services: { kitchen: { ...before, places: 4 }, orders: { ...before, starts: 7 }, market: {} } });
    await tell(page, ["snapshot", { ...view, services }]);
    await row(page, "orders").filter({ hasText: /ready7\s*3m\d\ds/ }).waitFor();
    assert.equal(await page.getByText("started again").count(), 0);
    await tell(page, ["change", { at: new Date().toISOString(), services: { kitchen: { ...services.kitchen, starts: 2, started_at: new Date().toISOString() } } }]);
    await row(page, "kitchen").filter({ hasText: /readystarted again2\s*\ds/ }).waitFor();
    await page.getByRole("status").filter({ hasText: "kitchen started again." }).waitFor({ state: "attached" });
    assert.equal(await page.getByText("started again", { exact: true }).count(), 1);
    await picture(page, "light-services-started-again");
  };
  await withPage(await signedIn(), restart, { prepare: makeUpFeed });
});

test("a dead letter is replayed at once, and dropped only when the user is sure", async () => {
  const letter = (number) => ({ service: "orders", id: id(number), kind: "dish.prepared", subject: id(9), event: "{}", error: `cause ${number}`, attempts: 5, failed_at: secondsAgo(60) });
  let letters = [letter(1), letter(2)];
  const asked = [];
  const prepare = async (page) => {
    await makeUpFeed(page);
    await page.route("**/v1/dead-letters**", (route) => {
      const { pathname } = new URL(route.request().url());
      if (route.request().method() === "GET") return route.fulfill({ json: { dead_letters: letters, missing: [] } });
      asked.push(`${route.request().method()} ${pathname}`);
      letters = letters.filter((one) => !pathname.includes(one.id));
      return route.fulfill({ status: 204 });
    });
  };
  const clear = async (page) => {
    await page.goto(`${url}/board#services`);
    await tell(page, ["snapshot", makeView({ services: { orders: { dead_letters: 2 } } })]);
    const first = page.locator(".dead-letter", { hasText: "cause 1" });
    const second = page.locator(".dead-letter", { hasText: "cause 2" });
    await first.getByRole("button", { name: "Replay" }).click();
    await first.waitFor({ state: "detached" });
    await second.getByRole("button", { name: "Drop", exact: true }).click();
    await picture(page, "light-services-dead-letters");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Keep");
    await page.keyboard.press("Enter");
    await second.getByRole("button", { name: "Drop", exact: true }).click();
    await second.getByRole("button", { name: "Drop for good" }).click();
    await page.getByText("No event was set aside.").waitFor();
    assert.deepEqual(asked, [`POST /v1/dead-letters/orders/${id(1)}/replay`, `DELETE /v1/dead-letters/orders/${id(2)}`]);
  };
  await withPage(await signedIn(), clear, { prepare });
});
