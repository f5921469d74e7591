// The page in a real browser: `node --test tests/page.test.mjs`. It needs a running environment, and takes from the environment:
//
// CHEFCITO_PAGE_URL       where the gateway is: http://127.0.0.1:PORT
// CHEFCITO_PAGE_LINKS     one-time sign-in links of an admin, separated by spaces; LINKS_USED of them are used (tests/browser.mjs)
// CHEFCITO_TEST_BROWSER   the path of Chromium
// CHEFCITO_PAGE_SNAPSHOT  the path of a file that `chefcito board --snapshot` wrote, with at least one delivered order and its story
// CHEFCITO_PAGE_KILL      a shell line that kills the kitchen's process, which is started again; without it, no story kills one
// CHEFCITO_PAGE_PICTURES  a folder that gets a picture of every view; none are taken without it
// CHEFCITO_PAGE_ACTIONS   set where another run looks at each view and at what the page costs, which no environment changes
//
// The environment should be seeded, have a simulated market, and cook for about two seconds. The tests leave the market as it
// begins, and orders at their end. All tests run in one process, one after the other, with one browser.

import { after } from "node:test";

import { closeBrowsers } from "./browser.mjs";

after(closeBrowsers);

await import("./sign-in.mjs");
await import("./orders.mjs");
await import("./waiting.mjs");
await import("./text.mjs");
await import("./roles.mjs");
await import("./lateness.mjs");
await import("./services.mjs");
await import("./connection.mjs");
await import("./snapshot.mjs");
if (process.env.CHEFCITO_PAGE_ACTIONS === undefined) {
  await import("./access.mjs");
  await import("./cost.mjs");
}
