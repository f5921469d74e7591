// The buttons that place orders.

import { signal } from "@preact/signals";
import type { JSX } from "preact";

import { askOnce } from "../api/http";
import type { Order } from "../api/types";
import { recipes } from "../state/menu";
import { follow, tell } from "../state/news";
import { words } from "../text/words";
import { act } from "./basics";

const dish = signal("");
const accepted = signal("");
const isPlacing = signal(false);
/** How long what was accepted is shown. */
const ACCEPTED_MS = 6_000;
let acceptedTimer = 0;

export function OrderForm(): JSX.Element {
  return (
    <form class="order-form" aria-label={words.orderForm} onSubmit={(event) => event.preventDefault()}>
      <label>
        <span class="label">{words.dish}</span>
        <select value={dish.value} onChange={(event) => (dish.value = event.currentTarget.value)}>
          <option value="">{words.anyDish}</option>
          {recipes.value.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <button type="submit" class="primary" onClick={() => void place(1)} aria-disabled={isPlacing.value}>
        {words.orderOne}
      </button>
      <button type="button" onClick={() => void place(50)} aria-disabled={isPlacing.value}>
        {words.orderFifty}
      </button>
      <span class="note order-accepted">{accepted}</span>
    </form>
  );
}

async function place(count: number): Promise<void> {
  if (isPlacing.value) return;
  isPlacing.value = true;
  const line = dish.value === "" ? {} : { dish: dish.value };
  await act(async () => {
    accepted.value = "";
    const placed = await askOnce<{ orders: Order[] }>("/v1/orders", count === 1 ? line : { orders: Array(count).fill(line) });
    accepted.value = words.accepted(placed.orders.length);
    tell(accepted.value);
    window.clearTimeout(acceptedTimer);
    acceptedTimer = window.setTimeout(() => (accepted.value = ""), ACCEPTED_MS);
    const [first] = placed.orders;
    if (count === 1 && first !== undefined) follow(first.id);
  });
  isPlacing.value = false;
}
