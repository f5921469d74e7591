import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import net from "node:net";
import { test } from "node:test";

import { ask, launch, open, picture, settle, signedIn, until, url, withPage } from "./browser.mjs";

/** A TCP proxy to the gateway that can be cut and restored. Open streams survive the browser's own offline mode. */
class Cable {
  #connections = new Set();
  #isCut = false;
  #isFrozen = false;
  #server = net.createServer((inside) => {
    if (this.#isCut) return inside.destroy();
    const { hostname, port } = new URL(url);
    const outside = net.connect(Number(port), hostname);
    for (const [one, other] of [[inside, outside], [outside, inside]]) {
      this.#connections.add(one);
      one.on("data", (data) => {
        if (!this.#isFrozen) other.write(data);
      });
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#connections.delete(one);
        other.destroy();
      });
    }
  });

  async lay() {
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this.#server.address().port;
  }

  cut() {
    this.#isCut = true;
    for (const connection of this.#connections) connection.destroy();
  }

  /** Loses everything, and tells neither end. */
  freeze() {
    this.#isFrozen = true;
  }

  restore() {
    if (this.#isFrozen) this.cut();
    this.#isCut = false;
    this.#isFrozen = false;
  }

  remove() {
    this.cut();
    this.#server.close();
  }
}

/** How long a change may take to reach a page, in milliseconds. */
const LAG_MS_MAX = 3_000;
const SILENT_VIEWERS = 3;

/** Follows the feed as the page does, and reads nothing after the handshake. */
async function watchWithoutReading(page) {
  const { host, hostname, port, origin } = new URL(url);
  const cookies = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  const socket = net.connect(Number(port), hostname);
  socket.on("error", () => {});
  const headers = { Host: host, Origin: origin, Cookie: cookies, Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": randomBytes(16).toString("base64") };
  socket.write(`GET /v1/live HTTP/1.1\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`);
  const answer = await new Promise((resolve) => socket.once("data", resolve));
  socket.pause();
  assert.match(String(answer), /^HTTP\/1\.1 101 /);
  return socket;
}

/** Runs with a page whose connection to the gateway goes through a cable. */
async function withCable(run) {
  const cable = new Cable();
  const { host } = new URL(url);
  const browser = await launch([`--host-resolver-rules=MAP ${host} 127.0.0.1:${await cable.lay()}`]);
  try {
    await withPage(await signedIn(), (page) => run(page, cable), { browser, allowed: /ERR_|Failed to load resource|WebSocket connection to/ });
  } finally {
    await browser.close();
    cable.remove();
  }
}

test("a cut connection is told with its time, and recovers by itself", async () => {
  await withCable(async (page, cable) => {
    await open(page, "kitchen");
    cable.cut();
    const stale = page.locator(".connection.is-stale");
    await stale.waitFor();
    assert.match(await stale.innerText(), /^Not live since \d\d:\d\d:\d\d$/);
    await page.locator(".strip-stale").waitFor();
    await page.getByRole("button", { name: "Order one" }).click();
    await page.locator(".strip-problem", { hasText: "The gateway does not answer" }).waitFor();
    await picture(page, "light-stale");
    // Another viewer orders meanwhile.
    await withPage(await signedIn(), async (other) => {
      await open(other, "kitchen");
      await ask(other, "POST", "/v1/orders", { dish: "burger" });
      await settle(other);
      cable.restore();
      await page.locator(".connection.is-live").waitFor();
      assert.equal(await page.locator(".strip-stale").count(), 0);
      const delivered = (one) => one.locator(".total", { hasText: "Delivered" }).locator("dd").innerText();
      await page.locator(".total", { hasText: "Delivered" }).getByText(await delivered(other), { exact: true }).waitFor();
    });
  });
});

test("a connection that is dead without a word is found out", async () => {
  await withCable(async (page, cable) => {
    // The page waits long before it asks: its clock is put forward.
    await page.clock.install();
    await open(page, "kitchen");
    cable.freeze();
    await page.clock.fastForward(21_000);
    await page.clock.runFor(5_000);
    await page.locator(".connection.is-stale").waitFor();
    cable.restore();
    await page.clock.runFor(5_000);
    await page.locator(".connection.is-live").waitFor();
  });
});

test("where something in between lets no WebSocket through, the page follows a stream", async () => {
  const withoutSockets = (page) =>
    page.addInitScript(() => {
      window.WebSocket = class {
        constructor() {
          window.setTimeout(() => this.onclose?.(), 0);
        }
        close() {}
      };
    });
  await withPage(
    await signedIn(),
    async (page) => {
      await open(page, "kitchen");
      const delivered = page.locator(".total", { hasText: "Delivered" }).locator("dd");
      const before = await delivered.innerText();
      await ask(page, "POST", "/v1/orders", { dish: "burger" });
      await settle(page);
      await until(async () => (await delivered.innerText()) !== before, "the order on the page");
    },
    { prepare: withoutSockets },
  );
});

test("where a handshake is swallowed, the page follows a stream", async () => {
  const swallowed = (page) =>
    page.addInitScript(() => {
      window.WebSocket = class {
        close() {}
      };
    });
  await withPage(
    await signedIn(),
    async (page) => {
      // It waits long for each handshake: its clock is put forward.
      await page.clock.install();
      await page.goto(`${url}/board#kitchen`);
      await until(async () => {
        await page.clock.runFor(5_000);
        return (await page.locator(".connection.is-live").count()) === 1;
      }, "the stream");
    },
    { prepare: swallowed },
  );
});

test("viewers that never read delay nobody", async () => {
  await withPage(await signedIn(), async (page) => {
    await open(page, "kitchen");
    const silent = await Promise.all(Array.from({ length: SILENT_VIEWERS }, () => watchWithoutReading(page)));
    try {
      const total = page.locator(".total", { hasText: "Delivered" }).locator("dd");
      const shown = async () => Number((await total.innerText()).replace(/\D/g, ""));
      await ask(page, "POST", "/v1/orders", { orders: Array.from({ length: 100 }, () => ({})) });
      await page.locator(".card").first().waitFor({ timeout: LAG_MS_MAX });
      // Each time, the page should show within a moment what was delivered when it was asked.
      await until(async () => {
        const { delivered, in_flight } = await ask(page, "GET", "/v1/summary");
        const asked = Date.now();
        await until(async () => (await shown()) >= delivered, "the page to follow");
        assert.ok(Date.now() - asked <= LAG_MS_MAX, `the page showed ${delivered} deliveries after ${Date.now() - asked} ms`);
        return in_flight === 0;
      }, "all orders to end");
    } finally {
      for (const socket of silent) socket.destroy();
    }
  });
});
