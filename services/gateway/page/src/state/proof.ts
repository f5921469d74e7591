// The audit: whether no order was lost, doubled or invented, and when that was last checked.

import { computed, effect, signal } from "@preact/signals";

import { ask, asProblem, type Problem } from "../api/http";
import { staleSince } from "../api/live";
import type { AuditReport } from "../api/types";
import { words } from "../text/words";
import { tell } from "./news";
import { isManager, screen } from "./session";
import { answerOf, ONLOOKER, snapshot } from "./snapshot";
import { view } from "./view";

export interface Verdict {
  /** The session in which it was found: another environment may be at the same address later. */
  session: string;
  report: AuditReport;
  at: number;
}

/** The tab keeps the last verdict when the page is loaded again. */
const KEPT = "chefcito-verdict";
const AUDIT = "/v1/audit?live=true";
/** An audit reads everything that is kept, so that the page begins one by itself at most this often. */
const PAUSE_MS = 60_000;
/** Pages that see the same outage check within this time, and not all at once. */
const SPREAD_MS = 3_000;

const session = computed(() => (screen.value.name === "signed-in" ? screen.value.session.id : null));
const checked = signal<Verdict | null>(kept());
export const verdict = computed(() => (checked.value?.session === session.value ? checked.value : null));
export const isChecking = signal(false);
export const proofProblem = signal<Problem | null>(null);

export async function check(isByItself = false): Promise<void> {
  if (isChecking.value) return;
  isChecking.value = true;
  proofProblem.value = null;
  try {
    const report = await ask<AuditReport>("GET", AUDIT);
    checked.value = { session: session.value ?? "", report, at: Date.now() };
    sessionStorage.setItem(KEPT, JSON.stringify(checked.value));
    tell(report.passed ? words.newsProved : words.newsNotProved);
  } catch (error) {
    const problem = asProblem(error);
    // Somebody else's audit runs: that is a problem only for a user who asked.
    if (!isByItself || problem.status !== 409) proofProblem.value = problem;
  } finally {
    isChecking.value = false;
  }
}

/** Checks again by itself once services that were away or not ready are back: that is when one wants to know. */
export function startProof(): void {
  let wasTroubled = false;
  effect(() => {
    const current = view.value;
    if (current === null) return;
    const isTroubled =
      staleSince.value !== null || Object.keys(current.away).length > 0 || Object.values(current.services).some((service) => !service.ready);
    const isBack = wasTroubled && !isTroubled;
    wasTroubled = isTroubled;
    const checkedAt = verdict.peek()?.at ?? 0;
    if (isBack && isManager.peek() && Date.now() - checkedAt >= PAUSE_MS) {
      window.setTimeout(() => void check(true), Math.random() * SPREAD_MS);
    }
  });
}

function kept(): Verdict | null {
  if (snapshot !== null) {
    const report = answerOf<AuditReport>(AUDIT);
    return report === undefined ? null : { session: ONLOOKER.id, report, at: Date.parse(snapshot.taken_at) };
  }
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as Verdict | null;
  } catch {
    return null;
  }
}
