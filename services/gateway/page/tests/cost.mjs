// The page may stay open: what it costs does not grow with time.

import assert from "node:assert/strict";
import { test } from "node:test";

import { signedIn, url, withPage } from "./browser.mjs";
import { makeUpFeed, makeView, tell } from "./feed.mjs";

/** An hour of ten changes a second. */
const CHANGES = 36_000;
const PER_FRAME = 100;
const HEAP_GROWTH_BYTES_MAX = 20_000_000;

test("an hour at 1,000 orders a second leaves nothing behind", async (context) => {
  const hour = async (page) => {
    await page.goto(`${url}/board#kitchen`);
    await tell(page, ["snapshot", makeView()]);
    const devtools = await page.context().newCDPSession(page);
    // Of its own thread, so that other work of the machine does not count.
    await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
    const measure = async () => {
      await devtools.send("HeapProfiler.collectGarbage");
      const { metrics } = await devtools.send("Performance.getMetrics");
      return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
    };
    await replay(page, 2_000, PER_FRAME);
    const before = await measure();
    await replay(page, CHANGES, PER_FRAME);
    const after = await measure();
    const growth = after.JSHeapUsedSize - before.JSHeapUsedSize;
    context.diagnostic(`heap: ${before.JSHeapUsedSize} bytes, and ${growth} more after ${CHANGES} changes`);
    assert.ok(growth <= HEAP_GROWTH_BYTES_MAX, `the heap grew by ${growth} bytes`);
    assert.ok(after.Nodes <= before.Nodes * 1.5 + 500, `${before.Nodes} nodes became ${after.Nodes}`);
    const began = Date.now();
    const { TaskDuration: busyBefore } = await measure();
    await replay(page, 50, 1, 100);
    const { TaskDuration: busyAfter } = await measure();
    const share = (busyAfter - busyBefore) / ((Date.now() - began) / 1_000);
    context.diagnostic(`main thread at ten changes a second of 100 orders each: ${Math.round(share * 100)} %`);
  };
  await withPage(await signedIn(), hour, { prepare: makeUpFeed });
});

/** Sends changes as of 1,000 orders a second: each replaces the ended orders, and moves those in flight. */
function replay(page, changes, perFrame, everyMs = 0) {
  return page.evaluate(
    async ([changes, perFrame, everyMs]) => {
      const number = { next: window.replayed ?? 1 };
      const dishes = ["pizza", "burger", "salad", "rice with meat"];
      const states = ["placed", "waiting", "reserved", "cooking", "ready"];
      const id = (number) => `01a22cb4-ac54-773d-906f-${String(number).padStart(12, "0")}`;
      let shown = window.shownByReplay ?? [];
      for (let sent = 0; sent < changes; sent += perFrame) {
        for (let one = 0; one < perFrame; one += 1) {
          const at = new Date().toISOString();
          number.next += 100;
          const make = (index, state) => ({
            id: id(number.next + index),
            number: number.next + index,
            dish: dishes[index % dishes.length],
            state,
            placed_at: at,
            changed_at: at,
            stove: (index % 8) + 1,
            ...(state === "waiting" ? { missing: { lemon: 1 } } : {}),
          });
          const orders = [
            ...Array.from({ length: 64 }, (_, index) => make(index, "delivered")),
            ...Array.from({ length: 64 }, (_, index) => make(100 + index, states[index % states.length])),
          ];
          const summary = { placed: number.next, delivered: number.next, cancelled: 0, rejected: 0, in_flight: 64, waiting_for_ingredients: 13, cooking: 13, dishes: {}, bought: {}, delivery: { count: 1, mean_ms: 1, p50_ms: 1, p99_ms: 1 } };
          const kept = new Set(orders.map((order) => order.id));
          const data = JSON.stringify({ at, summary, orders, gone: shown.filter((old) => !kept.has(old)) });
          shown = [...kept];
          window.feed.onmessage({ data: `id: 1\nevent: change\ndata: ${data}\n\n` });
        }
        await new Promise((resolve) => (everyMs > 0 ? setTimeout(resolve, everyMs) : requestAnimationFrame(resolve)));
      }
      window.replayed = number.next;
      window.shownByReplay = shown;
    },
    [changes, perFrame, everyMs],
  );
}
