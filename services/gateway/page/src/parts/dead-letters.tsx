// The events that services could not act on: replay them, or drop them for good.

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import { ask } from "../api/http";
import type { DeadLetter, DeadLetters } from "../api/types";
import { Loaded } from "../state/loaded";
import { isAdmin } from "../state/session";
import { view } from "../state/view";
import { timeAndDay } from "../text/format";
import { words } from "../text/words";
import { act, ProblemNote } from "./basics";

export const DEAD_LETTERS = "/v1/dead-letters";
/** The gateway may list thousands. */
const SHOWN_MAX = 50;

const letters = new Loaded<DeadLetters>();
/** The one that the user is asked about before it is dropped. */
const asked = signal<string | null>(null);

export function DeadLetterList(): JSX.Element {
  const count = Object.values(view.value?.services ?? {}).reduce((sum, service) => sum + service.dead_letters, 0);
  useEffect(() => void load(), [count]);
  const answer = letters.answer.value;
  const listed = answer?.dead_letters ?? [];
  const missing = answer?.missing ?? [];
  return (
    <section aria-labelledby="dead-letters">
      <h2 id="dead-letters">{words.deadLetters}</h2>
      <ProblemNote problem={letters.problem.value} />
      {answer !== null && listed.length === 0 && <p class="note">{words.deadLettersEmpty}</p>}
      {missing.length > 0 && <p class="note">{words.deadLettersMissing(missing.join(", "))}</p>}
      <ul class="dead-letters">
        {listed.slice(0, SHOWN_MAX).map((letter) => (
          <li key={`${letter.service} ${letter.id}`}>
            <Letter letter={letter} />
          </li>
        ))}
      </ul>
      {listed.length > SHOWN_MAX && <p class="note">{words.more(String(listed.length - SHOWN_MAX))}</p>}
    </section>
  );
}

function Letter({ letter }: { letter: DeadLetter }): JSX.Element {
  const { service, kind, subject, error, attempts, failed_at } = letter;
  return (
    <article class="dead-letter">
      <p>
        <strong>{kind}</strong> · {service} · {timeAndDay(failed_at)} · {words.attempts(attempts)}
      </p>
      <p class="reason">{error}</p>
      <p class="note figure">{subject}</p>
      {isAdmin.value && <Actions letter={letter} />}
    </article>
  );
}

function Actions({ letter }: { letter: DeadLetter }): JSX.Element {
  return (
    <p class="pages">
      <button type="button" onClick={() => replay(letter)}>
        {words.replay}
      </button>
      {asked.value === letter.id ? (
        <>
          <button type="button" class="primary" onClick={() => drop(letter)}>
            {words.dropSure}
          </button>
          <button type="button" ref={focus} onClick={() => (asked.value = null)}>
            {words.keep}
          </button>
        </>
      ) : (
        <button type="button" onClick={() => (asked.value = letter.id)}>
          {words.drop}
        </button>
      )}
    </p>
  );
}

/** The button that had the focus is gone when the user is asked. */
function focus(button: HTMLButtonElement | null): void {
  button?.focus();
}

function load(): Promise<void> {
  return letters.load(() => ask("GET", DEAD_LETTERS));
}

function address({ service, id }: DeadLetter): string {
  return `${DEAD_LETTERS}/${encodeURIComponent(service)}/${encodeURIComponent(id)}`;
}

function replay(letter: DeadLetter): void {
  void act(async () => {
    await ask("POST", `${address(letter)}/replay`, {});
    await load();
  });
}

function drop(letter: DeadLetter): void {
  void act(async () => {
    await ask("DELETE", address(letter));
    asked.value = null;
    await load();
  });
}
