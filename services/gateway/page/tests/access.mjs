// Everybody can use it: axe finds nothing, in both themes, on a phone, in both languages, in every view. It takes the pictures, too.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ask, check, DESKTOP, open, PHONE, settle, signedIn, url, withPage } from "./browser.mjs";
import { makeUpFeed, tell } from "./feed.mjs";
import { evening } from "./lateness.mjs";

const VIEWS = ["kitchen", "stock", "history", "recipes", "services", "proof", "wall"];
const KINDS = {
  light: { ...DESKTOP, colorScheme: "light" },
  dark: { ...DESKTOP, colorScheme: "dark" },
  phone: { ...PHONE, colorScheme: "light" },
  "phone-dark-es": { ...PHONE, colorScheme: "dark", locale: "es-ES" },
  "light-es": { ...DESKTOP, colorScheme: "light", locale: "es-ES" },
};

for (const [kind, options] of Object.entries(KINDS)) {
  test(`axe finds nothing: ${kind}`, async () => {
    await withPage(await signedIn({ ...options, reducedMotion: "reduce" }), async (page) => {
      await open(page, "kitchen");
      assert.equal(await page.getAttribute("html", "lang"), options.locale === "es-ES" ? "es" : "en");
      try {
        await ask(page, "PUT", "/v1/market", { outage: true });
        await ask(page, "POST", "/v1/orders", { orders: Array.from({ length: 24 }, () => ({})) });
        await page.locator(".lane-waiting .card").first().waitFor();
        for (const view of VIEWS) {
          await open(page, view);
          if (view === "proof") {
            await page.locator(".view .primary").click();
            await page.locator("tbody tr").first().waitFor();
          }
          if (view === "recipes") await page.locator(".recipe").first().waitFor();
          await check(page, `${kind}-${view}`);
        }
      } finally {
        await ask(page, "DELETE", "/v1/market");
      }
      // Those that wait would go on waiting until the market is asked again.
      const { orders } = await ask(page, "GET", "/v1/orders?status=placed&limit=100");
      for (const { id } of orders) await ask(page, "POST", `/v1/orders/${id}/cancel`, {});
      await settle(page);
      await open(page, "history");
      await page.locator("tbody a").first().click();
      await page.locator(".waterfall-bar").first().waitFor();
      await check(page, `${kind}-story`);
    });
  });

  test(`axe finds nothing when an order is late: ${kind}`, async () => {
    const late = async (page) => {
      for (const view of ["kitchen", "wall"]) {
        await page.goto(`${url}/board#${view}`);
        await page.reload();
        await tell(page, ["snapshot", evening()]);
        await page.locator(".is-late, .wall-news").first().waitFor();
        await check(page, `${kind}-${view}-late`);
      }
    };
    await withPage(await signedIn({ ...options, reducedMotion: "reduce" }), late, { prepare: makeUpFeed });
  });
}
