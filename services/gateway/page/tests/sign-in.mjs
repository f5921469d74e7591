import assert from "node:assert/strict";
import { test } from "node:test";

import { ask, keepSession, nextLink, picture, signedIn, url, withPage } from "./browser.mjs";

/** Chromium logs each answer that is an error. */
const REFUSED = /status of 401 .*\/v1\/session/;

test("a link signs in once, at the press of a button, and leaves no token behind", async () => {
  const link = nextLink();
  await withPage({}, async (page) => {
    await page.goto(link);
    const button = page.getByRole("button");
    await button.waitFor();
    assert.equal(await button.count(), 1);
    await picture(page, "light-sign-in");
    await button.click();
    await page.getByRole("heading", { level: 1, name: "Kitchen" }).waitFor();
    await page.locator(".connection.is-live").waitFor();
    assert.equal(new URL(page.url()).hash, "");
    assert.doesNotMatch(await page.evaluate(() => document.cookie), /./, "scripts should not see the session");
    await page.reload();
    await page.locator(".connection.is-live").waitFor();
    await keepSession(page);
  });
  const used = async (page) => {
    await page.goto(link);
    await page.getByRole("button").click();
    const problem = page.getByRole("alert");
    await problem.waitFor();
    assert.match(await problem.innerText(), /chefcito board --web/);
  };
  await withPage({}, used, { allowed: REFUSED });
});

test("without a session the page says how to get a link", async () => {
  const signedOut = async (page) => {
    await page.goto(`${url}/board`);
    await page.getByText("chefcito board --web").waitFor();
    await picture(page, "light-signed-out");
  };
  await withPage({}, signedOut, { allowed: REFUSED });
});

test("the user signs out, and back in by another link", async () => {
  const signOut = async (page) => {
    await page.goto(nextLink());
    await page.getByRole("button").click();
    await page.locator(".connection.is-live").waitFor();
    await page.locator(".user summary").click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("chefcito board --web").waitFor();
    await page.reload();
    await page.getByText("chefcito board --web").waitFor();
  };
  await withPage({}, signOut, { allowed: REFUSED });
});

test("the session tells whose it is", async () => {
  await withPage(await signedIn(), async (page) => {
    await page.goto(`${url}/board`);
    const session = await ask(page, "GET", "/v1/session");
    assert.equal(session.role, "admin");
    await page.locator(".user summary", { hasText: session.name }).waitFor();
  });
});
