// The story of one order: what each service did, when, and how long it took to get there.

import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";

import { ask } from "../api/http";
import type { Quantities, Story, StoryEvent } from "../api/types";
import { Age, figureColumns, ProblemNote, Table } from "../parts/basics";
import { Waits } from "../parts/waits";
import { Loaded } from "../state/loaded";
import { snapshot } from "../state/snapshot";
import { inFlight, orders } from "../state/view";
import { quantities, time, took } from "../text/format";
import { words } from "../text/words";

/** A story that goes on is asked for again this often. */
const REFRESH_MS = 1_500;
const ENDS = new Set(["order.delivered", "order.cancelled", "order.rejected"]);

const loaded = new Loaded<Story>();

export function StoryView({ order }: { order: string }): JSX.Element {
  useEffect(() => {
    loaded.forget();
    let timer = 0;
    let isShown = true;
    const load = async (): Promise<void> => {
      await loaded.load(() => ask("GET", `/v1/orders/${encodeURIComponent(order)}/story`));
      const status = loaded.problem.value?.status ?? 0;
      if (!isShown || (status >= 400 && status < 500)) return;
      if (snapshot === null && !loaded.answer.value?.events.some(({ event }) => ENDS.has(event))) timer = window.setTimeout(() => void load(), REFRESH_MS);
    };
    void load();
    return () => {
      isShown = false;
      window.clearTimeout(timer);
    };
  }, [order]);
  const story = loaded.answer.value;
  const problem = loaded.problem.value;
  const events = story?.order === order ? story.events : [];
  return (
    <>
      <p>
        <a href="#history">← {words.back}</a>
      </p>
      <h1>{words.storyOf(`#${numberOf(order, events)}`)}</h1>
      <p class="note figure">{order}</p>
      <ProblemNote problem={problem} />
      {story === null && problem === null && <p class="note">{words.loading}</p>}
      {story !== null && story.missing.length > 0 && <p class="strip strip-away">{words.storyMissing(story.missing.join(", "))}</p>}
      {story?.complete === false && <p class="note">{words.storyIncomplete}</p>}
      {events.length > 0 && <Now order={order} />}
      {events.length > 0 && <Waterfall events={events} />}
    </>
  );
}

/** Where an order is that is on its way, since when, and what it waits for. */
function Now({ order }: { order: string }): JSX.Element | null {
  const ticket = inFlight.value.find(({ id }) => id === order);
  if (ticket === undefined) return null;
  return (
    <>
      <p>
        {words.storyNow(words.states[ticket.state])} <Age since={ticket.changed_at} />
      </p>
      {ticket.state === "waiting" && <Waits ticket={ticket} />}
    </>
  );
}

function Waterfall({ events }: { events: StoryEvent[] }): JSX.Element {
  const begin = Date.parse(events[0]?.time ?? "");
  const end = Date.parse(events.at(-1)?.time ?? "");
  const whole = Math.max(1, end - begin);
  const lanes = [...new Set(events.map(({ service }) => service))];
  const longest = longestPart(events);
  const scale = (
    <th key="scale" scope="col" class="waterfall-column" aria-hidden="true">
      <span class="waterfall-scale figure">
        <span>0</span>
        <span>{took(whole / 2)}</span>
        <span>{took(whole)}</span>
      </span>
    </th>
  );
  return (
    <>
      <p>
        {words.storyAll(took(end - begin))}
        {longest !== undefined && `; ${longest}`}
      </p>
      <Table label={words.storyChart} columns={[words.service, words.event, scale, ...figureColumns(words.after, words.time), words.details]}>
        {events.map((event, index) => {
          const before = Date.parse(events[index - 1]?.time ?? event.time);
          const at = Date.parse(event.time);
          const from = Math.min(before, at);
          return (
            <tr key={event.id}>
              <td>{event.service}</td>
              <th scope="row">{breakable(event.event)}</th>
              <td class="waterfall-column" aria-hidden="true">
                <span class="waterfall">
                  <span
                    class={`waterfall-bar lane-tone-${lanes.indexOf(event.service) % 4}`}
                    style={{ left: `${((from - begin) / whole) * 100}%`, width: `${(Math.abs(at - before) / whole) * 100}%` }}
                  />
                </span>
              </td>
              <td class="number">
                {index === 0 ? "" : took(at - before)}
                <Span of={event} />
              </td>
              <td class="number">{time(event.time)}</td>
              <td class="details">{details(event.data)}</td>
            </tr>
          );
        })}
      </Table>
    </>
  );
}

/** What the time before an event was spent on. */
function Span({ of }: { of: StoryEvent }): JSX.Element | null {
  const span = words.spans[of.event];
  return span === undefined ? null : <span class="note span">{span}</span>;
}

/** Says which of the named parts took longest; nothing if there is none. */
function longestPart(events: StoryEvent[]): string | undefined {
  const parts = events.slice(1).map(({ event, time }, index) => ({ span: words.spans[event], ms: Date.parse(time) - Date.parse(events[index]?.time ?? time) }));
  const [longest] = parts.filter(({ span }) => span !== undefined).sort((a, b) => b.ms - a.ms);
  return longest?.span === undefined ? undefined : words.storyMost(longest.span, took(longest.ms));
}

/** Returns an event's name, which may be broken at its dot where there is little room. */
function breakable(name: string): ComponentChildren {
  const [subject, ...rest] = name.split(".");
  return rest.length === 0 ? (
    name
  ) : (
    <>
      {subject}.<wbr />
      {rest.join(".")}
    </>
  );
}

/** Returns what an event's data say beyond the order: its dish, stove, quantities and reason. */
function details(data: unknown): string {
  if (typeof data !== "object" || data === null) return "";
  return Object.entries(data)
    .map(([name, value]) => {
      if (name === "dish" || name === "reason") return typeof value === "string" ? value : "";
      if (name === "stove") return typeof value === "number" ? words.stove(value) : "";
      return isQuantities(value) ? quantities(value) : "";
    })
    .filter((text) => text !== "")
    .join(" · ");
}

function isQuantities(value: unknown): value is Quantities {
  return typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every((one) => typeof one === "number");
}

function numberOf(order: string, events: StoryEvent[]): string {
  const shown = orders.value.find(({ id }) => id === order)?.number;
  const told = events.map(({ data }) => (data as { number?: unknown } | null)?.number).find((number) => typeof number === "number");
  return String(shown ?? told ?? order.slice(0, 8));
}
