// The feed `/v1/live`: follows it, says when it is stale, and recovers by itself.

import { signal } from "@preact/signals";

import { applyChange, showSnapshot } from "../state/view";
import { type Close, followSocket, followStream } from "./connection";
import { ask, Problem } from "./http";
import type { Change, View } from "./types";

const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 15_000;
/** The gateway says something every 15 s, even if nothing is new. After this time the connection hangs. */
const QUIET_MS_MAX = 20_000;
const WATCH_MS = 5_000;
/** A gateway that can be reached answers within this time. */
const ANSWER_MS_MAX = 5_000;
/** An attempt to connect that takes longer is given up for a new one. */
const CONNECT_MS_MAX = 15_000;
/** After so many WebSockets that did not open though the gateway answers, something in between lets none through. */
const SOCKETS_TRIED_MAX = 2;

/** Since when the view is not of now, by this machine's clock; null if it is. */
export const staleSince = signal<number | null>(null);

let close: Close | null = null;
/** When the connection that is not open yet was begun; null if there is none such. */
let connectingSince: number | null = null;
let retryTimer = 0;
let watchTimer = 0;
let retryMs = RETRY_MS_MIN;
/** The id of the last event: the next connection goes on from there. */
let lastId = "";
/** When the view was last known to be of now. */
let lastSign = 0;
let socketsFailed = 0;
let onSignedOut: () => void = () => {};

/** Follows the feed until {@link stopLive}. */
export function startLive(signedOut: () => void): void {
  stopLive();
  onSignedOut = signedOut;
  lastSign = Date.now();
  socketsFailed = 0;
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
  close?.();
  close = null;
  lastId = "";
  staleSince.value = null;
}

function open(): void {
  window.clearTimeout(retryTimer);
  close?.();
  connectingSince = Date.now();
  let hasOpened = false;
  const follow = socketsFailed < SOCKETS_TRIED_MAX ? followSocket : followStream;
  close = follow(lastId, {
    opened() {
      hasOpened = true;
      connectingSince = null;
      if (follow === followSocket) socketsFailed = 0;
      // Who has the last view is sent nothing.
      if (lastId !== "") isCurrent();
    },
    event(id, name, data) {
      if (name === "snapshot") showSnapshot(JSON.parse(data) as View);
      else applyChange(JSON.parse(data) as Change);
      lastId = id;
      isCurrent();
    },
    comment: isCurrent,
    ended(isAsked) {
      connectingSince = null;
      if (isAsked && hasOpened) return open();
      isStale(Date.now());
      retry(hasOpened);
    },
  });
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
  if (staleSince.value !== null) open();
}

/** Connects again after a while, unless the session is over. */
function retry(hadOpened: boolean): void {
  window.clearTimeout(retryTimer);
  const ended = close;
  retryTimer = window.setTimeout(async () => {
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    try {
      await ask("GET", "/v1/session", undefined, {}, ANSWER_MS_MAX);
    } catch (error) {
      // Another connection was begun meanwhile, or none is wanted any more.
      if (close !== ended) return;
      if (error instanceof Problem && error.status === 401) onSignedOut();
      else retry(true);
      return;
    }
    if (close !== ended) return;
    if (!hadOpened) socketsFailed += 1;
    open();
  }, retryMs);
}

/** Connects anew when nothing came for long, or connecting takes long. */
function watch(): void {
  const now = Date.now();
  const isLate = connectingSince !== null && now - connectingSince >= CONNECT_MS_MAX;
  const isQuiet = now - lastSign >= QUIET_MS_MAX && staleSince.value === null && !document.hidden;
  if (isQuiet) isStale(lastSign);
  if (isLate) {
    close?.();
    connectingSince = null;
    retry(false);
  } else if (isQuiet) {
    open();
  }
}
