import assert from "node:assert/strict";
import { test } from "node:test";

import { open, signedIn, withPage } from "./browser.mjs";

/** What only some may do, by view, and what shows that the view is there. */
const CONTROLS = {
  kitchen: { shown: ".total", selector: ".order-form", roles: ["manager", "admin"] },
  stock: { shown: "tbody tr", selector: ".market", roles: ["admin"] },
  services: { shown: ".state", selector: "#dead-letters", roles: ["admin"] },
  proof: { shown: ".lead", selector: ".view .primary", roles: ["manager", "admin"] },
};

for (const role of ["viewer", "manager", "admin"]) {
  test(`a ${role} sees only what a ${role} may do`, async () => {
    const asRole = (page) =>
      page.route("**/v1/session", (route) => route.fulfill({ json: { id: "x", name: "someone", role, expires_at: null } }));
    const look = async (page) => {
      for (const [view, { shown, selector, roles }] of Object.entries(CONTROLS)) {
        await open(page, view);
        await page.locator(shown).first().waitFor();
        const control = page.locator(selector);
        if (roles.includes(role)) await control.waitFor();
        else assert.equal(await control.count(), 0, `${selector} in ${view}`);
      }
    };
    await withPage(await signedIn(), look, { prepare: asRole });
  });
}
