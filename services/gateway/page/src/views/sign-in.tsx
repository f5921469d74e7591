// The screens before a session: a link that was opened, and how to get one.

import type { JSX } from "preact";

import { ProblemNote } from "../parts/basics";
import { screen, signIn } from "../state/session";
import { words } from "../text/words";

export function SignIn(): JSX.Element | null {
  const current = screen.value;
  if (current.name === "signed-in") return null;
  return (
    <main id="main" class="sign-in" tabIndex={-1}>
      <p class="brand">Chefcito</p>
      {current.name === "link" && (
        <>
          <h1>{words.signInTitle}</h1>
          <p>{words.signInText}</p>
          <button type="button" class="primary large" onClick={() => void signIn()} aria-disabled={current.isSending}>
            {current.isSending ? words.signingIn : words.signIn}
          </button>
          <ProblemNote problem={current.problem ?? null} />
        </>
      )}
      {current.name === "signed-out" && (
        <>
          <h1>{words.signedOutTitle}</h1>
          <p>{words.signedOutText}</p>
          <pre>
            <code>chefcito board --web</code>
          </pre>
        </>
      )}
      {current.name === "opening" && (
        <>
          <h1>{words.opening}</h1>
          {current.problem !== undefined && (
            <>
              <ProblemNote problem={current.problem} />
              <p class="note">{words.openingFailed}</p>
            </>
          )}
        </>
      )}
    </main>
  );
}
