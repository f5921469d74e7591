// The wall: readable at five metres, and calm. One amber card is the news. Esc leaves, and so do the words that say it.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import { staleSince } from "../api/live";
import { now } from "../state/clock";
import { lateOrders } from "../state/lateness";
import { verdict } from "../state/proof";
import { go } from "../state/route";
import { snapshot } from "../state/snapshot";
import { inFlight, view } from "../state/view";
import { age, dateAndTime, figure, time } from "../text/format";
import { words } from "../text/words";

/** More can't be read from afar. */
const SHOWN_MAX = 8;

export function Wall(): JSX.Element {
  useEffect(() => {
    const leave = (event: KeyboardEvent): void => {
      if (event.key === "Escape") go("#kitchen");
    };
    document.addEventListener("keydown", leave);
    return () => document.removeEventListener("keydown", leave);
  }, []);
  useEffect(keepAwake, []);
  const summary = view.value?.summary;
  return (
    <main id="main" class="wall" tabIndex={-1}>
      <h1 class="only-read">{words.wall}</h1>
      <dl class="wall-totals">
        <WallTotal name={words.inFlight} value={summary?.in_flight} />
        <WallTotal name={words.short} value={summary?.waiting_for_ingredients} />
        <WallTotal name={words.cooking} value={summary?.cooking} />
        <WallTotal name={words.delivered} value={summary?.delivered} />
      </dl>
      <News />
      <Cooking />
      <p class="wall-foot">
        <span class="brand">Chefcito</span>
        <span>{verdict.value === null ? "" : verdict.value.report.passed ? `✓ ${words.proofPassed}` : `✗ ${words.proofFailed}`}</span>
        <a class="wall-hint" href="#kitchen">
          {words.wallHint}
        </a>
        <span class="figure">{snapshot === null ? time(now.value) : words.snapshotOf(snapshot.environment, dateAndTime(snapshot.taken_at))}</span>
      </p>
    </main>
  );
}

/** Keeps the screen on while the wall is shown, where the browser can. */
function keepAwake(): () => void {
  let lock: WakeLockSentinel | undefined;
  let isShown = true;
  const request = async (): Promise<void> => {
    try {
      lock = await navigator.wakeLock?.request("screen");
      if (!isShown) await lock?.release();
    } catch {
      // As on a low battery: the wall works without.
    }
  };
  const again = (): void => {
    if (!document.hidden) void request();
  };
  again();
  document.addEventListener("visibilitychange", again);
  return () => {
    isShown = false;
    document.removeEventListener("visibilitychange", again);
    void lock?.release();
  };
}

function WallTotal({ name, value }: { name: string; value: number | undefined }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="figure">{value === undefined ? "–" : figure(value)}</dd>
    </div>
  );
}

/** What matters most of what is not as it should be. */
function News(): JSX.Element {
  const since = staleSince.value;
  const away = Object.entries(view.value?.away ?? {})[0];
  const late = lateOrders.value;
  const [first] = late;
  const summary = view.value?.summary;
  if (since !== null) return <NewsCard title={words.stale(time(since))} text="" />;
  if (verdict.value?.report.passed === false) return <NewsCard title={words.proofFailed} text={words.proofAt(time(verdict.value.at))} />;
  if (away !== undefined) return <NewsCard title={words.newsAway(away[0])} text={words.awaySince(age(now.value - Date.parse(away[1])))} />;
  if (first !== undefined) {
    const { number, dish } = first.ticket;
    return <NewsCard title={`#${number} ${dish ?? ""}`} text={[words.late(age(first.ms)), late.length > 1 ? words.wallLate(late.length) : ""].filter(Boolean).join(" · ")} />;
  }
  const waiting = summary?.waiting_for_ingredients ?? 0;
  return <p class="wall-calm">{waiting > 0 ? words.wallWaiting(figure(waiting)) : summary === undefined ? words.connecting : words.wallCalm}</p>;
}

function NewsCard({ title, text }: { title: string; text: string }): JSX.Element {
  return (
    <section class="wall-news">
      <h2>{title}</h2>
      {text !== "" && <p>{text}</p>}
    </section>
  );
}

function Cooking(): JSX.Element {
  const cooking = inFlight.value.filter((ticket) => ticket.state === "cooking").slice(0, SHOWN_MAX);
  return (
    <ul class="wall-cooking">
      {cooking.map((ticket) => (
        <li key={ticket.id}>
          <span class="figure">#{ticket.number}</span>
          <span class="dish">{ticket.dish}</span>
        </li>
      ))}
    </ul>
  );
}
