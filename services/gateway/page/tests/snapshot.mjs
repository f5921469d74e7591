// The page in one file, from disk: it shows what was there, asks nobody, and has nothing to press that would change anything.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { check, DESKTOP, PHONE, required, withPage } from "./browser.mjs";

const path = required("CHEFCITO_PAGE_SNAPSHOT");
const DATA = /(<script type="application\/json" id="snapshot">)([^<]*)(<\/script>)/;
const html = await readFile(path, "utf8");
const snapshot = JSON.parse(DATA.exec(html)[2]);
/** What shows that a view is there. */
const VIEWS = {
  kitchen: ".lanes",
  stock: "tbody tr",
  history: "tbody tr",
  recipes: ".recipe",
  services: ".state",
  proof: "tbody tr",
  wall: ".wall-totals",
};
const KINDS = {
  light: { ...DESKTOP, colorScheme: "light" },
  dark: { ...DESKTOP, colorScheme: "dark" },
  "phone-es": { ...PHONE, colorScheme: "light", locale: "es-ES" },
};

/** Opens a file, and fails if it asks for anything else. */
async function withFile(file, options, run, clock) {
  const asked = [];
  const watch = async (page) => {
    page.on("request", (request) => asked.push(request.url()));
    if (clock !== undefined) await page.clock.install(clock);
  };
  const url = pathToFileURL(file).href;
  const opened = async (page) => {
    await page.goto(`${url}#kitchen`);
    if (clock !== undefined) await page.clock.runFor(1_000);
    await page.locator(".strip-snapshot").waitFor();
    await run(page);
  };
  await withPage({ ...options, reducedMotion: "reduce" }, opened, { prepare: watch });
  assert.deepEqual(asked.filter((one) => one.split("#")[0] !== url && !one.startsWith("data:")), [], "a snapshot should ask for nothing");
}

async function show(page, view) {
  await page.evaluate((hash) => (location.hash = hash), view);
  await page.locator(VIEWS[view]).first().waitFor();
}

for (const [kind, options] of Object.entries(KINDS)) {
  test(`a snapshot shows every view, and asks nobody: ${kind}`, async () => {
    await withFile(path, options, async (page) => {
      const note = await page.locator(".strip-snapshot").innerText();
      assert.ok(note.includes(snapshot.environment), note);
      assert.match(note, kind.endsWith("es") ? /^Copia de .* \d\d?:\d\d:\d\d; aquí nada está en vivo$/ : /^Snapshot of .* \d\d:\d\d:\d\d; nothing here is live$/);
      for (const view of Object.keys(VIEWS)) {
        await show(page, view);
        const pressed = await page.locator("button, input:not([type=datetime-local]), .order-form, .market, .user, .connection, .chart").count();
        assert.equal(pressed, 0, `${view} should have nothing that asks the gateway`);
        await check(page, `snapshot-${kind}-${view}`);
      }
      await page.keyboard.press("Escape");
      await page.locator(".lanes").waitFor();
    });
  });
}

test("a snapshot filters its orders, and has the stories of some", async () => {
  await withFile(path, DESKTOP, async (page) => {
    const kept = snapshot.answers["/v1/orders?limit=200"].orders;
    const delivered = kept.filter(({ status }) => status === "delivered");
    const isTold = ({ id }) => snapshot.answers[`/v1/orders/${id}/story`] !== undefined;
    const told = delivered.find(isTold);
    assert.ok(told, "the snapshot should have a delivered order with its story");
    const rows = page.locator("tbody tr");
    await show(page, "history");
    assert.equal(await rows.count(), kept.length);
    await page.getByText(`The last ${new Intl.NumberFormat("en").format(kept.length)} orders are kept in this file.`).waitFor();
    await page.getByLabel("State").selectOption("delivered");
    await page.getByLabel("Dish").selectOption(told.dish);
    await page.waitForFunction((count) => document.querySelectorAll("tbody tr").length === count, delivered.filter(({ dish }) => dish === told.dish).length);
    await page.getByRole("link", { name: `Order ${told.number}`, exact: true }).click();
    await page.getByRole("rowheader", { name: "order.delivered", exact: true }).waitFor();
    await check(page, "snapshot-light-story");
    await page.evaluate(() => (location.hash = "history/01a22cb4-ac54-773d-906f-000000000000"));
    await page.getByText("This file does not have that").waitFor();
    await check(page, "snapshot-light-no-story");
  });
});

test("time stands still in a snapshot", async () => {
  const stands = async (page) => {
    const before = await page.locator("main").innerText();
    assert.match(before, /\ds/, "an order of the snapshot should have an age");
    await page.clock.runFor(120_000);
    assert.equal(await page.locator("main").innerText(), before);
  };
  await withFile(path, DESKTOP, stands, { time: Date.parse(snapshot.taken_at) + 60_000 });
});

test("hostile names in a snapshot are shown as text", async () => {
  const folder = await mkdtemp(join(tmpdir(), "chefcito-snapshot-"));
  try {
    const hostile = "</script><img src=x onerror=alert(1)>";
    const [first, ...rest] = snapshot.answers["/v1/orders?limit=200"].orders;
    const made = {
      ...snapshot,
      environment: hostile,
      view: {
        ...snapshot.view,
        orders: [{ id: first.id, number: 1, dish: hostile, state: "waiting", placed_at: snapshot.taken_at, changed_at: snapshot.taken_at, missing: { [hostile]: 2 } }],
        services: { ...snapshot.view.services, [hostile]: { ...snapshot.view.services.kitchen, reason: hostile } },
      },
      answers: {
        "/v1/orders?limit=200": { orders: [{ ...first, dish: hostile, reason: hostile }, ...rest], next_before: null },
        "/v1/recipes": { recipes: [{ name: hostile, ingredients: { [hostile]: 1 }, cooking_time_ms: 1 }] },
        "/v1/dead-letters": { dead_letters: [{ service: hostile, id: "1", kind: hostile, subject: hostile, error: hostile, attempts: 1, failed_at: snapshot.taken_at }], missing: [] },
        "/v1/audit?live=true": { passed: false, live: true, invariants: [{ name: hostile, rule: hostile, passed: false, expected: 1, found: 2, difference: 1, samples: [hostile] }] },
      },
    };
    const file = join(folder, "hostile.html");
    await writeFile(file, html.replace(DATA, (_, begin, data, end) => `${begin}${JSON.stringify(made).replaceAll("<", "\\u003c")}${end}`));
    await withFile(file, DESKTOP, async (page) => {
      page.on("dialog", () => assert.fail("a script of the data ran"));
      for (const view of Object.keys(VIEWS)) {
        await show(page, view);
        await page.getByText(hostile).first().waitFor();
        assert.equal(await page.locator("img").count(), 0);
      }
      await show(page, "services");
      await page.locator(".dead-letter").waitFor();
      assert.equal(await page.getByRole("button").count(), 0);
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});
