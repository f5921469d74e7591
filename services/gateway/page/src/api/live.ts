// The feed `/v1/live`: follows it, says when it is stale, and recovers by itself.

import { signal } from "@preact/signals";

import { applyChange, seems, showSnapshot } from "../state/view";
import { ask, Problem } from "./http";
import type { Change, Summary, View } from "./types";

const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 15_000;
/** EventSource hides comments, so that a connection without changes looks like one that hangs: after this time, ask. */
const QUIET_MS_MAX = 20_000;
const WATCH_MS = 5_000;
/** A connection that is fine answers within this time. */
const ANSWER_MS_MAX = 5_000;
/** An attempt to connect that takes longer is given up for a new one. */
const CONNECT_MS_MAX = 15_000;
/** A change that the gateway already knows of arrives within this time. */
const BEHIND_MS_MAX = 3_000;

/** Since when the view is not of now, by this machine's clock; null if it is. */
export const staleSince = signal<number | null>(null);

let source: EventSource | null = null;
let retryTimer = 0;
let watchTimer = 0;
let retryMs = RETRY_MS_MIN;
/** When the view was last known to be of now. */
let lastSign = 0;
let openedAt = 0;
let isAsking = false;
let onSignedOut: () => void = () => {};

/** Follows the feed until {@link stopLive}. */
export function startLive(signedOut: () => void): void {
  stopLive();
  onSignedOut = signedOut;
  lastSign = Date.now();
  open();
  watchTimer = window.setInterval(watch, WATCH_MS);
  window.addEventListener("online", reopen);
  document.addEventListener("visibilitychange", watch);
}

export function stopLive(): void {
  window.clearTimeout(retryTimer);
  window.clearInterval(watchTimer);
  window.removeEventListener("online", reopen);
  document.removeEventListener("visibilitychange", watch);
  source?.close();
  source = null;
  staleSince.value = null;
}

function open(): void {
  source?.close();
  openedAt = Date.now();
  const opened = new EventSource("/v1/live");
  source = opened;
  opened.addEventListener("snapshot", (event) => {
    showSnapshot(JSON.parse(event.data) as View);
    isCurrent();
  });
  opened.addEventListener("change", (event) => {
    applyChange(JSON.parse(event.data) as Change);
    isCurrent();
  });
  // A stream that resumes and has nothing new sends no event.
  opened.onopen = isCurrent;
  opened.onerror = () => {
    if (source !== opened) return;
    isStale(Date.now());
    // The browser opens the stream again by itself, unless the gateway answered with an error.
    if (opened.readyState === EventSource.CLOSED) retry();
  };
}

function isCurrent(): void {
  lastSign = Date.now();
  retryMs = RETRY_MS_MIN;
  staleSince.value = null;
}

function isStale(since: number): void {
  if (staleSince.value === null) staleSince.value = since;
}

function reopen(): void {
  window.clearTimeout(retryTimer);
  if (staleSince.value !== null) open();
}

function retry(): void {
  window.clearTimeout(retryTimer);
  retryTimer = window.setTimeout(async () => {
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    try {
      await ask("GET", "/v1/session", undefined, {}, ANSWER_MS_MAX);
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return onSignedOut();
      if (source !== null) retry();
      return;
    }
    if (source !== null) open();
  }, retryMs);
}

/** Asks whether the view is of now when no event came for long, and connects anew when that takes long. */
async function watch(): Promise<void> {
  const isConnecting = staleSince.value !== null && source?.readyState === EventSource.CONNECTING;
  if (isConnecting && Date.now() - openedAt >= CONNECT_MS_MAX) open();
  const quiet = Date.now() - lastSign >= QUIET_MS_MAX;
  if (!quiet || document.hidden || isAsking || staleSince.value !== null) return;
  isAsking = true;
  const asked = source;
  const signBefore = lastSign;
  try {
    const summary = await ask<Summary>("GET", "/v1/summary", undefined, {}, ANSWER_MS_MAX);
    if (!seems(summary)) await new Promise((resolve) => window.setTimeout(resolve, BEHIND_MS_MAX));
    if (source !== asked || source === null) return;
    if (lastSign !== signBefore || seems(summary)) {
      lastSign = Date.now();
    } else {
      isStale(signBefore);
      open();
    }
  } catch (error) {
    // Any answer shows that the gateway is reachable; that its board is not, the stream says.
    if (error instanceof Problem && error.status !== 0) {
      lastSign = Date.now();
    } else if (source === asked && source !== null) {
      isStale(signBefore);
      open();
    }
  } finally {
    isAsking = false;
  }
}
