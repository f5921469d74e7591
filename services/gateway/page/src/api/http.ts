// Requests to the gateway that served the page. The session's cookie goes along by itself.

import { answerOf, snapshot } from "../state/snapshot";
import { said } from "../text/format";
import { words } from "../text/words";

/** How long an answer may take. The audit of a large environment takes longest. */
const ANSWER_MS_MAX = 60_000;
/** How often a request is sent that may be repeated. */
const ATTEMPTS_MAX = 3;

/** Why a request failed, as the gateway says it (application/problem+json). */
export class Problem extends Error {
  constructor(
    /** The HTTP status; 0: the gateway did not answer. */
    readonly status: number,
    readonly title: string,
    readonly detail: string,
  ) {
    super(title);
  }

  /** The language of the detail: the gateway says it in English. */
  get language(): string {
    return this.status === 0 ? words.language : "en";
  }
}

let onUnauthenticated: () => void = () => {};

/** Calls this when the gateway no longer knows the session. */
export function whenUnauthenticated(then: () => void): void {
  onUnauthenticated = then;
}

/** Returns the answer, in a snapshot the one that it has, or undefined if it has no body; throws a {@link Problem}. */
export async function ask<T>(
  method: "GET" | "POST" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
  answerMsMax = ANSWER_MS_MAX,
): Promise<T> {
  if (snapshot !== null) return answerOf<T>(path) ?? notKept();
  const init: RequestInit = { method, headers, credentials: "same-origin", signal: AbortSignal.timeout(answerMsMax) };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...headers, "content-type": "application/json" };
  }
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, init);
    text = await response.text();
  } catch {
    throw new Problem(0, words.unreachable, words.unreachableTry);
  }
  if (!response.ok) {
    if (response.status === 401 && path !== "/v1/session") onUnauthenticated();
    throw problem(response, text);
  }
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** Sends a request under an idempotency key. The gateway acts on it once, so that it may be repeated when no answer comes. */
export async function askOnce<T>(path: string, body: unknown): Promise<T> {
  const headers = { "idempotency-key": crypto.randomUUID() };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask<T>("POST", path, body, headers);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 0 || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

/** Returns what failed as a {@link Problem}. */
export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, words.failed, String(error));
}

function notKept(): never {
  throw new Problem(404, words.notKept, words.notKeptTry);
}

function problem(response: Response, text: string): Problem {
  try {
    const { type = "", title = words.failed, detail = "" } = JSON.parse(text) as { type?: string; title?: string; detail?: string };
    return new Problem(response.status, said(type.replace("/problems/", "")) ?? title, detail);
  } catch {
    return new Problem(response.status, words.failed, `HTTP ${response.status}`);
  }
}
