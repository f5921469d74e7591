// The audit: a button that runs it, and each thing that must hold.

import type { JSX } from "preact";

import type { Invariant } from "../api/types";
import { figureColumns, ProblemNote, Table } from "../parts/basics";
import { check, isChecking, proofProblem, verdict } from "../state/proof";
import { isManager } from "../state/session";
import { snapshot } from "../state/snapshot";
import { figure, said, time } from "../text/format";
import { words } from "../text/words";

export function Proof(): JSX.Element {
  const last = verdict.value;
  return (
    <>
      <h1>{words.tabs.proof}</h1>
      <p class="lead">{words.proofText}</p>
      {isManager.value ? (
        <button type="button" class="primary" onClick={() => void check()} aria-disabled={isChecking.value}>
          {isChecking.value ? words.proofRunning : words.proofRun}
        </button>
      ) : (
        last === null && <p class="note">{snapshot === null ? words.proofNeverViewer : words.notKept}</p>
      )}
      <ProblemNote problem={proofProblem.value} />
      {last !== null && (
        <section aria-labelledby="verdict">
          <h2 id="verdict" class={last.report.passed ? "verdict has-passed" : "verdict has-failed"}>
            {last.report.passed ? `✓ ${words.proofPassed}` : `✗ ${words.proofFailed}`}
          </h2>
          <p class="note">
            {words.proofAt(time(last.at))}. {last.report.live ? words.proofLive : ""}
          </p>
          <Table label={words.verdict} columns={[words.verdict, words.rule, ...figureColumns(words.expectedFigure, words.found)]}>
            {last.report.invariants.map((invariant) => (
              <Row key={invariant.name} invariant={invariant} />
            ))}
          </Table>
        </section>
      )}
    </>
  );
}

function Row({ invariant }: { invariant: Invariant }): JSX.Element {
  const { name, rule, passed, expected, found, samples, note } = invariant;
  const own = said(name);
  return (
    <tr>
      <td>
        <span class={passed ? "state is-well" : "state is-bad"}>{passed ? words.holds : words.broken}</span>
      </td>
      <th scope="row">
        <span class="rule" lang={own === undefined ? "en" : undefined}>
          {own ?? rule}
        </span>
        <span class="note" lang="en">
          {name}
          {note !== undefined && ` · ${note}`}
        </span>
        {samples.length > 0 && <span class="note figure samples">{samples.join(" ")}</span>}
      </th>
      <td class="number">{figure(expected)}</td>
      <td class="number">{figure(found)}</td>
    </tr>
  );
}
