// What is on the shelves, what the market sold, and the switches of the simulated market beside their effect.

import { computed } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import type { Purchase, Shelf } from "../api/types";
import { Age, figureColumns, Table } from "../parts/basics";
import { MarketControls } from "../parts/market-controls";
import { untilNextAttempt } from "../state/market-answers";
import { isAdmin } from "../state/session";
import { view } from "../state/view";
import { figure, ingredient, took } from "../text/format";
import { words } from "../text/words";

/** The service that stands in for the farmers' market. Production has none. */
const MARKET_SIM = "market-sim";

export function Stock(): JSX.Element {
  const hasMarketSim = Object.hasOwn(view.value?.services ?? {}, MARKET_SIM);
  return (
    <>
      <h1>{words.tabs.stock}</h1>
      <div class="split">
        <section aria-labelledby="shelves">
          <h2 id="shelves">{words.stockTitle}</h2>
          <Shelves />
        </section>
        <section aria-labelledby="purchases">
          {isAdmin.value && hasMarketSim && <MarketControls />}
          <h2 id="purchases">{words.purchases}</h2>
          <Answers />
          <Purchases />
        </section>
      </div>
    </>
  );
}

function Shelves(): JSX.Element {
  const shelves = view.value?.stock ?? [];
  if (shelves.length === 0) return <p class="note">{words.stockEmpty}</p>;
  const most = Math.max(1, ...shelves.map((shelf) => shelf.on_hand + shelf.missing));
  const figures = figureColumns(words.awaited, words.nextAttempt, words.reserved, words.bought);
  return (
    <Table label={words.stockTitle} columns={[words.ingredient, ...figureColumns(words.onHand), <td key="bar" class="bar-column" />, ...figures]}>
      {shelves.map((shelf) => (
        <ShelfRow key={shelf.ingredient} shelf={shelf} most={most} />
      ))}
    </Table>
  );
}

function ShelfRow({ shelf, most }: { shelf: Shelf; most: number }): JSX.Element {
  const next = useMemo(() => computed(() => untilNextAttempt(shelf.ingredient)), [shelf.ingredient]);
  return (
    <tr class={shelf.missing > 0 ? "is-short" : undefined}>
      <th scope="row">{ingredient(shelf.ingredient)}</th>
      <td class="number">{figure(shelf.on_hand)}</td>
      <td class="bar-column">
        <span class="bar" style={{ width: `${(shelf.on_hand / most) * 100}%` }} />
        {shelf.missing > 0 && <span class="bar is-missing" style={{ width: `${(shelf.missing / most) * 100}%` }} />}
      </td>
      <td class="number">{shelf.missing === 0 ? "" : <strong>{figure(shelf.missing)}</strong>}</td>
      <td class="number">{next}</td>
      <td class="number">{figure(shelf.reserved - shelf.released)}</td>
      <td class="number">{figure(shelf.bought)}</td>
    </tr>
  );
}

/** The market's answers as a row of bars: a hollow one sold none. */
function Answers(): JSX.Element | null {
  const purchases = (view.value?.purchases ?? []).toReversed();
  if (purchases.length === 0) return null;
  const most = Math.max(1, ...purchases.map((purchase) => purchase.quantity));
  return (
    <div class="answers" role="img" aria-label={words.answers}>
      {purchases.map((purchase) => (
        <span
          key={purchase.id}
          class={`answer is-${purchase.status}${purchase.quantity === 0 ? " is-none" : ""}`}
          style={{ height: purchase.quantity === 0 ? "100%" : `${(purchase.quantity / most) * 100}%` }}
        />
      ))}
    </div>
  );
}

function Purchases(): JSX.Element {
  const purchases = view.value?.purchases ?? [];
  if (purchases.length === 0) return <p class="note">{words.purchasesEmpty}</p>;
  return (
    <>
      <p class="note">{words.purchasesNote}</p>
      <Table label={words.purchases} columns={[words.ingredient, ...figureColumns(words.sold, words.took, words.asked)]}>
        {purchases.map((purchase) => (
          <PurchaseRow key={purchase.id} purchase={purchase} />
        ))}
      </Table>
    </>
  );
}

function PurchaseRow({ purchase }: { purchase: Purchase }): JSX.Element {
  const { status, quantity, asked_at, answered_at } = purchase;
  const sold = { open: words.noAnswerYet, unknown: words.unknown, done: quantity === 0 ? words.none : figure(quantity) }[status];
  return (
    <tr class={quantity === 0 ? "is-none" : undefined}>
      <th scope="row">{ingredient(purchase.ingredient)}</th>
      <td class="number">{sold}</td>
      <td class="number">{answered_at === null ? "" : took(Date.parse(answered_at) - Date.parse(asked_at))}</td>
      <td class="number">
        <Age since={asked_at} />
      </td>
    </tr>
  );
}
