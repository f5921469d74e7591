// The orders that ended: live from the feed, or page by page from all that is kept.

import { effect, signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import { ask } from "../api/http";
import type { OrderPage, OrderStatus } from "../api/types";
import { figureColumns, ProblemNote, Table } from "../parts/basics";
import { Loaded } from "../state/loaded";
import { recipes } from "../state/menu";
import { answerOf, snapshot } from "../state/snapshot";
import { ended, inFlight, view } from "../state/view";
import { figure, timeAndDay, took } from "../text/format";
import { words } from "../text/words";

/** `live`: those that ended last, from the feed. */
type State = "live" | "all" | OrderStatus;

const STATES: readonly State[] = [...(snapshot === null ? ["live" as const] : []), "all", "placed", "cooking", "delivered", "cancelled", "rejected"];
/** The orders that a snapshot has. */
const KEPT = "/v1/orders?limit=200";
const PAGE_ORDERS = 50;

const state = signal(STATES[0] ?? "all");
const dish = signal("");
const placedBefore = signal("");
/** Where the pages begin up to the one that is shown; undefined: with the newest order. */
const begins = signal<(number | undefined)[]>([undefined]);
const page = new Loaded<OrderPage>();

export function History(): JSX.Element {
  useEffect(() => effect(load), []);
  const isLive = state.value === "live" && dish.value === "" && placedBefore.value === "";
  return (
    <>
      <h1>{words.tabs.history}</h1>
      <Filters />
      {isLive ? <LiveOrders /> : <PagedOrders />}
    </>
  );
}

function Filters(): JSX.Element {
  const set = (field: { value: string }, value: string): void => {
    field.value = value;
    if (state.value === "live" && field !== state) state.value = "all";
    begins.value = [undefined];
  };
  const known = new Set(recipes.value.map(({ name }) => name));
  for (const name of Object.keys(view.value?.summary.dishes ?? {})) known.add(name);
  return (
    <form class="filters" aria-label={words.filters} onSubmit={(event) => event.preventDefault()}>
      <label>
        <span class="label">{words.state}</span>
        <select value={state.value} onChange={(event) => showState(event.currentTarget.value as State)}>
          {STATES.map((one) => (
            <option key={one} value={one}>
              {one === "live" ? words.anyState : one === "all" ? words.allStates : words.statuses[one]}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="label">{words.dish}</span>
        <select value={dish.value} onChange={(event) => set(dish, event.currentTarget.value)}>
          <option value="">{words.allDishes}</option>
          {[...known].sort().map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="label">{words.placedBefore}</span>
        <input type="datetime-local" step={1} value={placedBefore.value} onChange={(event) => set(placedBefore, event.currentTarget.value)} />
      </label>
    </form>
  );
}

function showState(next: State): void {
  state.value = next;
  begins.value = [undefined];
  if (next === "live") {
    dish.value = "";
    placedBefore.value = "";
  }
}

function LiveOrders(): JSX.Element {
  const summary = view.value?.summary;
  const all = summary === undefined ? 0 : summary.delivered + summary.cancelled + summary.rejected;
  const rows = ended.value.map(({ id, number, dish: name, state: end, placed_at, changed_at }) => (
    <Row key={id} {...{ id, number, dish: name, end: words.states[end], placed_at, ended_at: changed_at }} />
  ));
  return (
    <section class="orders" aria-labelledby="ended">
      <h2 id="ended">{words.historyTitle}</h2>
      {rows.length === 0 ? (
        <p class="note">{words.historyEmpty}</p>
      ) : (
        <>
          <p class="note">{words.historyLive(figure(rows.length), figure(all))}</p>
          <Orders label={words.historyTitle} rows={rows} />
          <p class="pages">
            <button type="button" onClick={() => showState("all")}>
              {words.allStates}
            </button>
          </p>
        </>
      )}
    </section>
  );
}

function PagedOrders(): JSX.Element {
  const problem = page.problem.value;
  const shown = problem === null ? page.answer.value : null;
  const next = shown?.next_before ?? null;
  const kept = snapshot === null ? undefined : answerOf<OrderPage>(KEPT);
  return (
    <section class="orders" aria-labelledby="all">
      <h2 id="all">{words.historyPage}</h2>
      {kept !== undefined && <p class="note">{words.ordersKept(figure(kept.orders.length))}</p>}
      <ProblemNote problem={problem} />
      {shown === null && problem === null && <p class="note">{words.loading}</p>}
      {shown?.orders.length === 0 && <p class="note">{words.historyNone}</p>}
      {shown !== null && shown.orders.length > 0 && (
        <Orders
          label={words.historyPage}
          rows={shown.orders.map(({ id, number, dish: name, status, placed_at, ended_at, reason }) => {
            // The board knows sooner what the kitchen picked, and where the order is.
            const ticket = status === "placed" ? inFlight.value.find((one) => one.id === id) : undefined;
            const end = ticket === undefined ? words.statuses[status] : words.states[ticket.state];
            return <Row key={id} {...{ id, number, dish: name ?? ticket?.dish, end, placed_at, ended_at, reason }} />;
          })}
        />
      )}
      {snapshot === null && <Pages next={next} />}
    </section>
  );
}

function Pages({ next }: { next: number | null }): JSX.Element {
  return (
    <p class="pages">
      <button type="button" onClick={() => (begins.value = [undefined])}>
        {words.newest}
      </button>
      {begins.value.length > 1 && (
        <button type="button" onClick={() => (begins.value = begins.value.slice(0, -1))}>
          {words.newer}
        </button>
      )}
      {next !== null && (
        <button type="button" onClick={() => (begins.value = [...begins.value, next])}>
          {words.older}
        </button>
      )}
    </p>
  );
}

function Orders({ label, rows }: { label: string; rows: JSX.Element[] }): JSX.Element {
  return (
    <Table label={label} columns={[words.number, words.dish, words.state, ...figureColumns(words.took, words.ended, words.placed)]}>
      {rows}
    </Table>
  );
}

interface RowProps {
  id: string;
  number: number;
  dish: string | undefined;
  end: string;
  placed_at: string;
  ended_at: string | null;
  reason?: string | undefined;
}

function Row({ id, number, dish: name, end, placed_at, ended_at, reason }: RowProps): JSX.Element {
  return (
    <tr>
      <td>
        <a href={`#history/${id}`} aria-label={words.order(number)}>
          #{number}
        </a>
      </td>
      <th scope="row" class={name === undefined ? "dish is-unknown" : "dish"}>
        {name ?? words.dishUnknown}
      </th>
      <td>
        {end}
        {reason !== undefined && <span class="note"> · {reason}</span>}
      </td>
      <td class="number">{ended_at === null ? "" : took(Date.parse(ended_at) - Date.parse(placed_at))}</td>
      <td class="number">{ended_at === null ? "" : timeAndDay(ended_at)}</td>
      <td class="number">{timeAndDay(placed_at)}</td>
    </tr>
  );
}

/** Loads the page that is asked for, and again when another one is. */
function load(): void {
  const asked = [state.value, dish.value, placedBefore.value, begins.value.at(-1)] as const;
  if (state.value !== "live") void page.load(() => list(...asked));
}

async function list(status: State, name: string, before: string, begin: number | undefined): Promise<OrderPage> {
  if (snapshot !== null) return listKept(status, name, before);
  const first = begin ?? (before === "" ? undefined : await numberAt(Date.parse(before)));
  return ask("GET", listing(status, name, first, PAGE_ORDERS));
}

async function listKept(status: State, name: string, before: string): Promise<OrderPage> {
  const { orders } = await ask<OrderPage>("GET", KEPT);
  const end = before === "" ? Infinity : Date.parse(before);
  const listed = orders.filter((order) => (status === "all" || order.status === status) && (name === "" || order.dish === name) && Date.parse(order.placed_at) < end);
  return { orders: listed, next_before: null };
}

function listing(status: State, name: string, before: number | undefined, limit: number): string {
  const query = new URLSearchParams({ limit: String(limit) });
  if (status !== "all" && status !== "live") query.set("status", status);
  if (name !== "") query.set("dish", name);
  if (before !== undefined) query.set("before", String(before));
  return `/v1/orders?${query}`;
}

/** Returns the number of the first order placed at that moment or later. Numbers grow with time, and the gateway lists by number. */
async function numberAt(moment: number): Promise<number | undefined> {
  const newest = (await ask<OrderPage>("GET", listing("all", "", undefined, 1))).orders[0];
  if (newest === undefined || Date.parse(newest.placed_at) < moment) return undefined;
  let [earlier, later] = [0, newest.number];
  while (later - earlier > 1) {
    const middle = Math.floor((earlier + later) / 2);
    const order = (await ask<OrderPage>("GET", listing("all", "", middle + 1, 1))).orders[0];
    if (order === undefined || Date.parse(order.placed_at) < moment) earlier = middle;
    else later = Math.min(middle, order.number);
  }
  return later;
}
