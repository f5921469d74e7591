// A snapshot: the page in one file, with what was there when it was taken. It asks nobody, and nothing in it changes.

import type { Session, Timestamp, View } from "../api/types";

interface Snapshot {
  taken_at: Timestamp;
  environment: string;
  view: View;
  /** The answers to requests, by path. */
  answers: Record<string, unknown>;
}

/** Null on the page that the gateway serves. */
export const snapshot = read();

/** Whoever opens the file looks, and can do nothing. */
export const ONLOOKER: Session = { id: "snapshot", name: "", role: "viewer", expires_at: null };

/** Returns the answer that the snapshot has to a request; undefined if it has none. */
export function answerOf<T>(path: string): T | undefined {
  const answers = snapshot?.answers ?? {};
  return Object.hasOwn(answers, path) ? (answers[path] as T) : undefined;
}

function read(): Snapshot | null {
  const text = document.getElementById("snapshot")?.textContent;
  return text ? (JSON.parse(text) as Snapshot) : null;
}
