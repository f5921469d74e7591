// Who looks, and what they may do.

import { computed, signal } from "@preact/signals";

import { ask, asProblem, Problem, whenUnauthenticated } from "../api/http";
import { startLive, stopLive } from "../api/live";
import type { Role, Session } from "../api/types";
import { loadMenu } from "./menu";
import { forgetToken, signInToken } from "./route";
import { forgetSeries } from "./series";
import { ONLOOKER, snapshot } from "./snapshot";
import { forget, showSnapshot } from "./view";

export type Screen =
  | { name: "opening"; problem?: Problem }
  /** A sign-in link was opened: its token is sent when the user says so, since programs that check links open them, too. */
  | { name: "link"; token: string; isSending: boolean; problem?: Problem }
  | { name: "signed-out" }
  | { name: "signed-in"; session: Session };

const RETRY_MS = 2_000;
const RANK: Record<Role, number> = { viewer: 0, manager: 1, admin: 2 };

export const screen = signal<Screen>({ name: "opening" });
const role = computed<Role>(() => (screen.value.name === "signed-in" ? screen.value.session.role : "viewer"));
export const isManager = computed(() => RANK[role.value] >= RANK.manager);
export const isAdmin = computed(() => RANK[role.value] >= RANK.admin);

export async function startSession(): Promise<void> {
  if (snapshot !== null) {
    screen.value = { name: "signed-in", session: ONLOOKER };
    showSnapshot(snapshot.view);
    return loadMenu();
  }
  whenUnauthenticated(() => void recheck());
  window.addEventListener("hashchange", () => {
    // Back from a link: the session of before, if there is one, goes on.
    if (!offerLink() && screen.value.name === "link") void openSession();
  });
  if (!offerLink()) await openSession();
}

/** Sends the token of the link that was opened. */
export async function signIn(): Promise<void> {
  const current = screen.value;
  if (current.name !== "link" || current.isSending) return;
  const { token } = current;
  screen.value = { name: "link", token, isSending: true };
  try {
    await ask("POST", "/v1/session", { token });
    forgetToken();
    await openSession();
  } catch (error) {
    screen.value = { name: "link", token, isSending: false, problem: asProblem(error) };
  }
}

export async function signOut(): Promise<void> {
  try {
    await ask("DELETE", "/v1/session");
  } catch (error) {
    // One that is gone already is what was wanted.
    if (!(error instanceof Problem) || error.status !== 401) throw error;
  }
  showSignedOut();
}

function offerLink(): boolean {
  const token = signInToken();
  if (token === null) return false;
  stopLive();
  screen.value = { name: "link", token, isSending: false };
  return true;
}

async function openSession(): Promise<void> {
  try {
    const session = await ask<Session>("GET", "/v1/session");
    screen.value = { name: "signed-in", session };
    startLive(showSignedOut);
    void loadMenu();
  } catch (error) {
    const problem = asProblem(error);
    if (problem.status === 401) return showSignedOut();
    screen.value = { name: "opening", problem };
    window.setTimeout(() => {
      if (screen.value.name === "opening") void openSession();
    }, RETRY_MS);
  }
}

async function recheck(): Promise<void> {
  if (screen.value.name !== "signed-in") return;
  try {
    await ask("GET", "/v1/session");
  } catch (error) {
    if (asProblem(error).status === 401) showSignedOut();
  }
}

function showSignedOut(): void {
  stopLive();
  forget();
  forgetSeries();
  screen.value = { name: "signed-out" };
}
