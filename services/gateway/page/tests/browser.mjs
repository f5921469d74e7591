// What the tests share: browsers, signed-in pages that fail on any console error or CSP report, and requests to the gateway.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import axe from "axe-core";
import { chromium } from "playwright-core";

/** How many sign-in links the tests use up. */
export const LINKS_USED = 2;

/** How long a state may take to come, in milliseconds. */
export const WAIT_MS = 30_000;

export const url = required("CHEFCITO_PAGE_URL").replace(/\/$/, "");
const links = required("CHEFCITO_PAGE_LINKS").split(/\s+/).filter((link) => link !== "");
const executablePath = required("CHEFCITO_TEST_BROWSER");
const pictures = process.env.CHEFCITO_PAGE_PICTURES;

assert.ok(links.length >= LINKS_USED, `CHEFCITO_PAGE_LINKS should have ${LINKS_USED} links`);

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const DESKTOP = { viewport: { width: 1440, height: 900 } };
export const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true };

let shared;
const launched = [];
/** The cookies of the first page that signed in: the others use its session. */
let session;

/** Returns a variable of the environment. */
export function required(name) {
  const value = process.env[name];
  assert.ok(value, `${name} should be set: see tests/page.test.mjs`);
  return value;
}

export function nextLink() {
  const link = links.shift();
  assert.ok(link, "no sign-in link is left");
  return link;
}

export async function launch(extra = []) {
  const browser = await chromium.launch({ executablePath, args: [...ARGUMENTS, ...extra] });
  launched.push(browser);
  return browser;
}

export async function closeBrowsers() {
  await Promise.all(launched.map((browser) => browser.close()));
}

/**
 * Runs a test with a page of its own. Its context has `options`; the page should log no error besides those that `allowed` matches.
 */
export async function withPage(options, run, { browser, allowed, prepare } = {}) {
  shared ??= await launch();
  const context = await (browser ?? shared).newContext({ ...DESKTOP, locale: "en-GB", timezoneId: "UTC", ...options });
  context.setDefaultTimeout(WAIT_MS);
  const faults = [];
  try {
    const page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") faults.push(`${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => faults.push(String(error)));
    await page.exposeFunction("tellReport", (report) => faults.push(`CSP: ${report}`));
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        window.tellReport(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
      });
    });
    await prepare?.(page);
    await run(page);
    assert.deepEqual(faults.filter((fault) => !allowed?.test(fault)), [], "the page logged errors");
  } finally {
    await context.close();
  }
}

/** Opens a sign-in link and presses the button. */
export async function signInByLink(page) {
  await page.goto(nextLink());
  await page.getByRole("button").click();
  await page.locator(".lanes").waitFor();
}

/** Returns the options of a context that is signed in. */
export async function signedIn(options = {}) {
  if (session === undefined) {
    await withPage({}, async (page) => {
      await signInByLink(page);
      session = await page.context().storageState();
    });
  }
  return { storageState: session, ...options };
}

/** Keeps a page's session for the tests that follow. */
export async function keepSession(page) {
  session = await page.context().storageState();
}

export async function open(page, view) {
  await page.goto(`${url}/board#${view}`);
  await page.locator(view === "wall" ? ".wall-totals" : ".view h1").first().waitFor();
  await page.locator(view === "wall" ? ".wall-foot" : ".connection.is-live").waitFor();
}

/** Sends a request as the page would, and returns the answer. */
export async function ask(page, method, path, body) {
  const answer = await page.evaluate(
    async ([method, path, body]) => {
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
      const text = await response.text();
      return { status: response.status, body: text === "" ? null : JSON.parse(text) };
    },
    [method, path, body],
  );
  assert.ok(answer.status < 300, `${method} ${path}: ${JSON.stringify(answer)}`);
  return answer.body;
}

/** Waits until no order is in flight. */
export async function settle(page) {
  await until(async () => {
    const summary = await ask(page, "GET", "/v1/summary");
    return summary.in_flight === 0;
  }, "all orders to end");
}

/** Waits until it holds, asking each 100 ms. */
export async function until(holds, what) {
  const end = Date.now() + WAIT_MS;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `waited ${WAIT_MS} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Takes a picture, if pictures are wanted. */
export async function picture(page, name, options = {}) {
  if (pictures === undefined || pictures === "") return;
  await mkdir(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), animations: "disabled", ...options });
}

/** Fails if the page scrolls sideways, or if axe finds something; takes a picture. */
export async function check(page, name) {
  await picture(page, name, { fullPage: name.startsWith("phone") });
  const isTooWide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  assert.equal(isTooWide, false, `${name} scrolls sideways`);
  // Evaluated by the debugger, which no policy of the page stops.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.html).join(" ")}`);
  assert.deepEqual(found, [], name);
}
