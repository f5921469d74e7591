// The header: the views, whether the page is live, the last verdict, and who is signed in.

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { staleSince } from "../api/live";
import type { Session } from "../api/types";
import { verdict } from "../state/proof";
import { route, TABS } from "../state/route";
import { signOut } from "../state/session";
import { snapshot } from "../state/snapshot";
import { view } from "../state/view";
import { dateAndTime, time } from "../text/format";
import { words } from "../text/words";
import { act, ActionProblem } from "./basics";

export function Header({ session }: { session: Session }): JSX.Element {
  return (
    <header class="header">
      <a class="skip" href="#main" onClick={skip}>
        {words.skip}
      </a>
      {snapshot !== null && <p class="strip strip-snapshot">{words.snapshotOf(snapshot.environment, dateAndTime(snapshot.taken_at))}</p>}
      <div class="header-bar">
        <p class="brand" aria-hidden="true">
          Chefcito
        </p>
        <Tabs />
        <div class="header-state">
          {snapshot === null && <Connection />}
          <Badge />
          {snapshot === null && <User session={session} />}
        </div>
      </div>
      <Strips />
    </header>
  );
}

function User({ session }: { session: Session }): JSX.Element {
  return (
    <details class="user" onKeyDown={closeOnEscape}>
      <summary>
        <span class="user-name">{session.name}</span>
      </summary>
      <div class="user-menu">
        <p>
          <strong>{session.name}</strong> · {words.roles[session.role]}
        </p>
        <p class="note">{words.roleHints[session.role]}</p>
        <button type="button" onClick={() => void act(signOut)}>
          {words.signOut}
        </button>
      </div>
    </details>
  );
}

function closeOnEscape(event: KeyboardEvent): void {
  if (event.key !== "Escape") return;
  const menu = event.currentTarget as HTMLDetailsElement;
  menu.open = false;
  menu.querySelector("summary")?.focus();
}

function Tabs(): JSX.Element {
  const shown = route.value.view;
  const bar = useRef<HTMLElement>(null);
  // On a phone not all tabs fit.
  useEffect(() => bar.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [shown]);
  return (
    <nav class="tabs" ref={bar} aria-label={words.sections} onKeyDown={moveAmongTabs}>
      {TABS.map((tab) => (
        <a key={tab} href={address(tab)} aria-current={tab === shown ? "page" : undefined}>
          {words.tabs[tab]}
        </a>
      ))}
      <a href={address("wall")}>{words.wall}</a>
    </nav>
  );
}

/** The whole address: on a phone, tabs may be out of sight, and a link to a fragment alone would pass for one that skips. */
function address(name: string): string {
  return `${location.pathname}#${name}`;
}

function moveAmongTabs(event: KeyboardEvent): void {
  const links = [...(event.currentTarget as HTMLElement).querySelectorAll("a")];
  const at = links.indexOf(document.activeElement as HTMLAnchorElement);
  const to: Record<string, number> = {
    ArrowRight: (at + 1) % links.length,
    ArrowLeft: (at + links.length - 1) % links.length,
    Home: 0,
    End: links.length - 1,
  };
  const target = links[to[event.key] ?? -1];
  if (at < 0 || target === undefined) return;
  event.preventDefault();
  target.focus();
}

/** The fragment of the address names the view, so that the link can't be followed as usual. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Connection(): JSX.Element {
  const since = staleSince.value;
  if (since !== null) return <span class="connection is-stale">{words.stale(time(since))}</span>;
  return view.value === null ? (
    <span class="connection">{words.connecting}</span>
  ) : (
    <span class="connection is-live">{words.live}</span>
  );
}

function Badge(): JSX.Element {
  const last = verdict.value;
  if (last === null)
    return (
      <a class="badge" href="#proof">
        {words.proofNever}
      </a>
    );
  return (
    <a class={last.report.passed ? "badge has-passed" : "badge has-failed"} href="#proof">
      <span aria-hidden="true">{last.report.passed ? "✓ " : "✗ "}</span>
      {last.report.passed ? words.proofPassed : words.proofFailed}
      <span class="badge-time figure">{time(last.at)}</span>
    </a>
  );
}

/** What is not as it should be, below the header. */
function Strips(): JSX.Element {
  const since = staleSince.value;
  const away = Object.entries(view.value?.away ?? {});
  return (
    <>
      {since !== null && <p class="strip strip-stale">{words.staleText(time(since))}</p>}
      {since === null &&
        away.map(([name, moment]) => (
          <p key={name} class="strip strip-away">
            {words.awayText(name, time(moment))}
          </p>
        ))}
      <ActionProblem />
    </>
  );
}
