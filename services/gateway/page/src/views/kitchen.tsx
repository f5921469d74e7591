// The kitchen: orders as cards on their way from placed to the table. Colour says that an order is late, and nothing else.

import { computed } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useMemo } from "preact/hooks";

import { ask } from "../api/http";
import type { Ticket, TicketState } from "../api/types";
import { Age, act, Total } from "../parts/basics";
import { OrderForm } from "../parts/order-form";
import { Waits } from "../parts/waits";
import { now } from "../state/clock";
import { expectedMs, lateMs } from "../state/lateness";
import { deliveredPerSecond, series } from "../state/series";
import { isManager } from "../state/session";
import { snapshot } from "../state/snapshot";
import { dishes, ended, inFlight, view } from "../state/view";
import { age, figure, rate, took } from "../text/format";
import { words } from "../text/words";

type Lane = "placed" | "waiting" | "cooking" | "ready";

const LANES: Record<Lane, readonly TicketState[]> = {
  placed: ["placed", "requested"],
  waiting: ["waiting", "reserved"],
  cooking: ["cooking"],
  ready: ["ready"],
};
/** So many cards a lane shows, of those that came first. */
const CARDS_SHOWN_MAX = 16;
/** When more cards arrive at once, they do not fade in: nobody could follow them. */
const FADING_MAX = 6;
/** So many deliveries are shown as they reach the table. */
const ON_TABLE_SHOWN_MAX = 6;
/** A kitchen with more stoves shows only those in use. */
const PLACES_SHOWN_MAX = 48;
const RATE_SECONDS = 10;

export function Kitchen(): JSX.Element {
  noteArrivals();
  return (
    <>
      <div class="kitchen-top">
        <h1>{words.tabs.kitchen}</h1>
        <Totals />
        {isManager.value && <OrderForm />}
      </div>
      <div class="lanes">
        <Column lane="placed">
          <Cards lane="placed" />
        </Column>
        <Column lane="waiting">
          <Cards lane="waiting" />
        </Column>
        <Column lane="cooking">
          <Stoves />
        </Column>
        <Column lane="ready">
          <Cards lane="ready" />
          <OnTable />
        </Column>
      </div>
    </>
  );
}

let shownBefore: ReadonlySet<string> = new Set();
/** Whether few enough orders came with this render that their cards fade in. */
let isCalm = false;

function noteArrivals(): void {
  const shown = new Set(inFlight.value.map((ticket) => ticket.id));
  isCalm = [...shown].filter((id) => !shownBefore.has(id)).length <= FADING_MAX;
  shownBefore = shown;
}

function Totals(): JSX.Element | null {
  const summary = view.value?.summary;
  if (summary === undefined) return null;
  const pace = rate(deliveredPerSecond(series.value, RATE_SECONDS));
  return (
    <dl class="totals" aria-label={words.totals}>
      <Total name={words.inFlight} value={figure(summary.in_flight)} />
      <Total name={words.short} value={figure(summary.waiting_for_ingredients)} />
      <Total name={words.cooking} value={figure(summary.cooking)} />
      <Total name={words.delivered} value={figure(summary.delivered)} />
      {snapshot === null && <Total name={words.perSecond} value={pace} />}
      <Total name={words.usual} value={summary.delivery.count === 0 ? "–" : took(summary.delivery.p50_ms)} />
    </dl>
  );
}

function Column({ lane, children }: { lane: Lane; children: ComponentChildren }): JSX.Element {
  return (
    <section class={`lane lane-${lane}`} aria-labelledby={`lane-${lane}`}>
      <h2 id={`lane-${lane}`}>
        {words.lanes[lane]} <Count lane={lane} />
      </h2>
      {children}
    </section>
  );
}

function of(lane: Lane): Ticket[] {
  return inFlight.value.filter((ticket) => LANES[lane].includes(ticket.state));
}

/** Returns how many there are. The feed shows those that came first; nearly all of the others wait for ingredients or a stove. */
function count(lane: Lane): number {
  const shown = of(lane).length;
  const summary = view.value?.summary;
  if (summary === undefined || lane === "placed" || lane === "ready") return shown;
  if (lane === "cooking") return Math.max(shown, summary.cooking);
  return Math.max(shown, summary.in_flight - count("placed") - count("cooking") - count("ready"));
}

function Count({ lane }: { lane: Lane }): JSX.Element {
  return <span class="figure count">{figure(count(lane))}</span>;
}

function Cards({ lane }: { lane: Lane }): JSX.Element {
  const shown = of(lane).slice(0, CARDS_SHOWN_MAX);
  const beyond = count(lane) - shown.length;
  if (shown.length === 0 && beyond <= 0) return <p class="note lane-empty">{lane === "ready" && ended.value.length > 0 ? "" : words.laneEmpty[lane]}</p>;
  return (
    <>
      <ul class="cards">
        {shown.map((ticket) => (
          <li key={ticket.id}>
            <Card ticket={ticket} />
          </li>
        ))}
      </ul>
      {beyond > 0 && <p class="note">{words.more(figure(beyond))}</p>}
    </>
  );
}

function Stoves(): JSX.Element {
  const byStove = new Map(of("cooking").map((ticket) => [ticket.stove ?? 0, ticket]));
  // A gateway of an earlier version does not say how many there are.
  const count = view.value?.services["kitchen"]?.places ?? 0;
  const all = count <= PLACES_SHOWN_MAX ? Array.from({ length: count }, (_, index) => index + 1) : [];
  const places = [...new Set([...all, ...byStove.keys()])].sort((a, b) => a - b);
  if (places.length === 0) return <p class="note lane-empty">{words.laneEmpty.cooking}</p>;
  return (
    <ol class="cards stoves">
      {places.map((place) => {
        const ticket = byStove.get(place);
        return (
          <li key={place} class={ticket ? "place" : "place is-free"}>
            <span class="place-name">
              {words.stove(place)}
              {ticket === undefined && ` · ${words.stoveFree}`}
            </span>
            {ticket && <Card key={ticket.id} ticket={ticket} />}
          </li>
        );
      })}
    </ol>
  );
}

/** One order. It is rendered again only when the order changes, or becomes late. */
function Card({ ticket }: { ticket: Ticket }): JSX.Element {
  const isLate = useMemo(() => computed(() => lateMs(ticket, now.value, dishes.value) > 0), [ticket]).value;
  const fades = useMemo(() => isCalm, []);
  return (
    <article class={`card${isLate ? " is-late" : ""}${fades ? " fades" : ""}`} data-state={ticket.state}>
      <p class="card-top">
        <a class="figure" href={`#history/${ticket.id}`} aria-label={words.order(ticket.number)}>
          #{ticket.number}
        </a>
        <Age since={ticket.placed_at} />
      </p>
      <p class={ticket.dish === undefined ? "dish is-unknown" : "dish"}>{ticket.dish ?? words.dishUnknown}</p>
      {isLate && <Lateness ticket={ticket} />}
      <Waits ticket={ticket} />
      {isManager.value && ticket.state !== "cooking" && ticket.state !== "ready" && (
        <button type="button" class="quiet" aria-label={words.cancelOrder(ticket.number)} onClick={() => void cancel(ticket.id)}>
          {words.cancel}
        </button>
      )}
    </article>
  );
}

function Lateness({ ticket }: { ticket: Ticket }): JSX.Element {
  const by = useMemo(() => computed(() => words.late(age(lateMs(ticket, now.value, dishes.value)))), [ticket]);
  const expected = expectedMs(ticket.dish, dishes.value);
  return (
    <p class="lateness">
      <strong>{by}</strong>
      {expected !== undefined && <span>{words.expected(age(expected))}</span>}
    </p>
  );
}

function OnTable(): JSX.Element | null {
  const delivered = ended.value.filter((ticket) => ticket.state === "delivered").slice(0, ON_TABLE_SHOWN_MAX);
  if (delivered.length === 0) return null;
  return (
    <>
      <h3>{words.onTheTable}</h3>
      <ul class="on-table">
        {delivered.map((ticket) => (
          <li key={ticket.id}>
            <a class="figure" href={`#history/${ticket.id}`} aria-label={words.order(ticket.number)}>
              #{ticket.number}
            </a>
            <span class="dish">{ticket.dish}</span>
            <span class="figure">{took(Date.parse(ticket.changed_at) - Date.parse(ticket.placed_at))}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

async function cancel(order: string): Promise<void> {
  await act(async () => {
    await ask("POST", `/v1/orders/${order}/cancel`, {});
  });
}
