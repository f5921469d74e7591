// A feed that a test makes up: it replaces the page's WebSocket, for states that a real environment seldom has.

const SUMMARY = {
  placed: 0,
  delivered: 0,
  cancelled: 0,
  rejected: 0,
  in_flight: 0,
  waiting_for_ingredients: 0,
  cooking: 0,
  dishes: {},
  bought: {},
  delivery: { count: 0, mean_ms: 0, p50_ms: 0, p99_ms: 0, mean_us: 0, p50_us: 0, p99_us: 0 },
};
const SERVICE = { version: "0.1.0", ready: true, engine: "sqlite", announced: 0, unpublished: 0, unhandled: 0, dead_letters: 0, queued: 0, open: 0 };

export function id(number) {
  return `01a22cb4-ac54-773d-906f-${String(number).padStart(12, "0")}`;
}

export function secondsAgo(seconds) {
  return new Date(Date.now() - seconds * 1_000).toISOString();
}

export function secondsFromNow(seconds) {
  return secondsAgo(-seconds);
}

export function ticket(number, state, dish, ageSeconds, more = {}) {
  return { id: id(number), number, dish, state, placed_at: secondsAgo(ageSeconds), changed_at: secondsAgo(ageSeconds / 2), ...more };
}

export function shelf(ingredient, on_hand, missing = 0, more = {}) {
  return { ingredient, on_hand, opening: 5, adjustments: 0, bought: 12, reserved: 14, released: 0, missing, ...more };
}

export function purchase(number, ingredient, quantity, status = "done") {
  return { id: id(number), ingredient, status, quantity, asked_at: secondsAgo(10), answered_at: status === "open" ? null : secondsAgo(9) };
}

export function makeView(parts = {}) {
  return {
    at: new Date().toISOString(),
    orders: [],
    stock: [],
    purchases: [],
    away: {},
    pace: { changes_per_second_max: 10, viewers: 1 },
    ...parts,
    summary: { ...SUMMARY, ...parts.summary },
    services: Object.fromEntries(Object.entries(parts.services ?? { kitchen: {} }).map(([name, one]) => [name, { ...SERVICE, ...one }])),
  };
}

/** Makes the page's WebSocket one that `tell` feeds. */
export async function makeUpFeed(page) {
  await page.addInitScript(() => {
    window.WebSocket = class {
      constructor() {
        window.feed = this;
      }
      close() {}
    };
  });
}

/** Sends events to the page: pairs of a name and data. */
export async function tell(page, ...events) {
  await page.waitForFunction(() => window.feed !== undefined);
  await page.evaluate((all) => {
    const texts = all.map(([name, data]) => `id: 1\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
    window.feed.onmessage({ data: texts.join("") });
  }, events);
}
