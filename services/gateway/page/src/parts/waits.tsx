// What an order waits for, and what the market said of it.

import { computed } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import type { Ticket } from "../api/types";
import { now } from "../state/clock";
import { marketAnswers, untilNextAttempt } from "../state/market-answers";
import { age, figure, ingredient } from "../text/format";
import { words } from "../text/words";

/** Shorter than this, a purchase without an answer is no news. */
const ANSWER_MS_USUAL = 2_000;

/** What an order waits for; each ingredient leads to the stock. */
export function Waits({ ticket }: { ticket: Ticket }): JSX.Element | null {
  if (ticket.state === "reserved" || ticket.state === "requested") return <p class="waits">{words.states[ticket.state]}</p>;
  if (ticket.state !== "waiting") return null;
  return (
    <ul class="waits">
      {Object.entries(ticket.missing ?? {}).map(([name, quantity]) => (
        <li key={name}>
          <a href="#stock">
            {figure(quantity)} {ingredient(name)}
          </a>
          <MarketSaid name={name} />
        </li>
      ))}
    </ul>
  );
}

function MarketSaid({ name }: { name: string }): JSX.Element | null {
  const said = useMemo(
    () =>
      computed(() => {
        const answer = marketAnswers.value.get(name);
        const openMs = answer?.openSince === undefined ? 0 : now.value - Date.parse(answer.openSince);
        const next = untilNextAttempt(name);
        return [
          answer !== undefined && answer.zeros > 0 ? words.soldNone(answer.zeros) : "",
          openMs > ANSWER_MS_USUAL ? words.noAnswer(age(openMs)) : "",
          next === "" ? "" : words.nextAttemptIn(next),
        ]
          .filter((part) => part !== "")
          .map((part) => `; ${part}`)
          .join("");
      }),
    [name],
  );
  return <>{said}</>;
}
