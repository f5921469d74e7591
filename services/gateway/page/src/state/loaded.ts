// What is asked for and is no part of the feed: the last answer, and why the last attempt failed.

import { signal } from "@preact/signals";

import { asProblem, type Problem } from "../api/http";

export class Loaded<T> {
  readonly answer = signal<T | null>(null);
  readonly problem = signal<Problem | null>(null);
  /** A later attempt makes the answers of earlier ones worthless. */
  #attempt = 0;

  /** Asks, and keeps the answer. The answer of before stays when this fails. */
  async load(ask: () => Promise<T>): Promise<void> {
    this.#attempt += 1;
    const mine = this.#attempt;
    try {
      const answer = await ask();
      if (mine !== this.#attempt) return;
      this.answer.value = answer;
      this.problem.value = null;
    } catch (error) {
      if (mine === this.#attempt) this.problem.value = asProblem(error);
    }
  }

  forget(): void {
    this.#attempt += 1;
    this.answer.value = null;
    this.problem.value = null;
  }
}
