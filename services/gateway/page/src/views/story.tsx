// The story of one order: what each service did, when, and how long it took to get there.

import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";

import { ask, asProblem, type Problem } from "../api/http";
import type { Quantities, Story, StoryEvent } from "../api/types";
import { ProblemNote, Table } from "../parts/basics";
import { snapshot } from "../state/snapshot";
import { orders } from "../state/view";
import { quantities, time, took } from "../text/format";
import { words } from "../text/words";

/** A story that goes on is asked for again this often. */
const REFRESH_MS = 1_500;
const ENDS = new Set(["order.delivered", "order.cancelled", "order.rejected"]);

const story = signal<Story | null>(null);
const problem = signal<Problem | null>(null);

export function StoryView({ order }: { order: string }): JSX.Element {
  useEffect(() => {
    story.value = null;
    problem.value = null;
    let timer = 0;
    let isShown = true;
    const load = async (): Promise<void> => {
      try {
        const answer = await ask<Story>("GET", `/v1/orders/${encodeURIComponent(order)}/story`);
        if (!isShown) return;
        story.value = answer;
        problem.value = null;
      } catch (error) {
        if (!isShown) return;
        problem.value = asProblem(error);
        if (problem.value.status >= 400 && problem.value.status < 500) return;
      }
      if (snapshot === null && !story.value?.events.some(({ event }) => ENDS.has(event))) timer = window.setTimeout(() => void load(), REFRESH_MS);
    };
    void load();
    return () => {
      isShown = false;
      window.clearTimeout(timer);
    };
  }, [order]);
  const events = story.value?.order === order ? story.value.events : [];
  return (
    <>
      <p>
        <a href="#history">← {words.back}</a>
      </p>
      <h1>{words.storyOf(`#${numberOf(order, events)}`)}</h1>
      <p class="note figure">{order}</p>
      <ProblemNote problem={problem.value} />
      {story.value === null && problem.value === null && <p class="note">{words.loading}</p>}
      {story.value !== null && story.value.missing.length > 0 && <p class="strip strip-away">{words.storyMissing(story.value.missing.join(", "))}</p>}
      {story.value?.complete === false && <p class="note">{words.storyIncomplete}</p>}
      {events.length > 0 && <Waterfall events={events} />}
    </>
  );
}

function Waterfall({ events }: { events: StoryEvent[] }): JSX.Element {
  const begin = Date.parse(events[0]?.time ?? "");
  const end = Date.parse(events.at(-1)?.time ?? "");
  const whole = Math.max(1, end - begin);
  const lanes = [...new Set(events.map(({ service }) => service))];
  const total = words.storyAll(took(end - begin));
  return (
    <>
      <p>{total}</p>
      <Table label={words.storyChart}>
        <thead>
          <tr>
            <th scope="col">{words.service}</th>
            <th scope="col">{words.event}</th>
            <th scope="col" class="waterfall-column" aria-hidden="true">
              <span class="waterfall-scale figure">
                <span>0</span>
                <span>{took(whole / 2)}</span>
                <span>{took(whole)}</span>
              </span>
            </th>
            <th scope="col" class="number">
              {words.after}
            </th>
            <th scope="col" class="number">
              {words.time}
            </th>
            <th scope="col">{words.details}</th>
          </tr>
        </thead>
        <tbody>
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
                <td class="number">{index === 0 ? "" : took(at - before)}</td>
                <td class="number">{time(event.time)}</td>
                <td class="details">{details(event.data)}</td>
              </tr>
            );
          })}
        </tbody>
      </Table>
    </>
  );
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
