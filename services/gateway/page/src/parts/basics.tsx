// Small parts that several views share.

import { computed, signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useMemo } from "preact/hooks";

import { asProblem, type Problem } from "../api/http";
import type { Timestamp } from "../api/types";
import { now } from "../state/clock";
import { snapshot } from "../state/snapshot";
import { age } from "../text/format";
import { words } from "../text/words";

/** How long ago something was. Each second, its text alone changes. */
export function Age({ since }: { since: Timestamp }): JSX.Element {
  const text = useMemo(() => computed(() => age(now.value - Date.parse(since))), [since]);
  return <span class="figure">{text}</span>;
}

interface TableProps {
  label: string;
  /** The names of the columns, or their heads. */
  columns: (string | JSX.Element)[];
  /** The rows. */
  children: ComponentChildren;
}

/** A table that scrolls sideways where it is too wide, also by keys. */
export function Table({ label, columns, children }: TableProps): JSX.Element {
  return (
    <div class="scroll" role="group" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>{columns.map((column) => (typeof column === "string" ? <th key={column} scope="col">{column}</th> : column))}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Returns the heads of columns of figures. */
export function figureColumns(...names: string[]): JSX.Element[] {
  return names.map((name) => (
    <th key={name} scope="col" class="number">
      {name}
    </th>
  ));
}

/** What an action of the user failed with, until the next one. */
export const actionProblem = signal<Problem | null>(null);

/** Runs what the user asked for, and shows why it failed. */
export async function act(action: () => Promise<void>): Promise<void> {
  actionProblem.value = null;
  try {
    await action();
  } catch (error) {
    actionProblem.value = asProblem(error);
  }
}

export function ProblemNote({ problem }: { problem: Problem | null }): JSX.Element | null {
  if (problem === null) return null;
  // All that can fail in a snapshot is to find what it does not have.
  if (snapshot !== null) return <p class="note">{`${problem.title}. ${problem.detail}`}</p>;
  return (
    <div class="problem" role="alert">
      <strong>{problem.title}</strong>
      <span lang={problem.language}>{problem.detail}</span>
    </div>
  );
}

/** The problem of the last action, which the user can dismiss. */
export function ActionProblem(): JSX.Element | null {
  const problem = actionProblem.value;
  if (problem === null) return null;
  return (
    <div class="strip strip-problem" role="alert">
      <p>
        <strong>{problem.title}</strong> <span lang={problem.language}>{problem.detail}</span>
      </p>
      <button type="button" onClick={() => (actionProblem.value = null)}>
        {words.dismiss}
      </button>
    </div>
  );
}

/** A figure with its name. */
export function Total({ name, value }: { name: string; value: string }): JSX.Element {
  return (
    <div class="total">
      <dt>{name}</dt>
      <dd class="figure">{value}</dd>
    </div>
  );
}
