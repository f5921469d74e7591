// The switches of the simulated market. Where there is none (404), they are hidden.

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import { ask, asProblem } from "../api/http";
import type { Market, MarketSettings } from "../api/types";
import { figure } from "../text/format";
import { words } from "../text/words";
import { act } from "./basics";

/** Others may change the market, too. */
const REFRESH_MS = 5_000;

const market = signal<Market | null>(null);

export function MarketControls(): JSX.Element | null {
  useEffect(() => {
    void load();
    const timer = window.setInterval(() => {
      if (!document.hidden) void load();
    }, REFRESH_MS);
    return () => window.clearInterval(timer);
  }, []);
  const current = market.value;
  if (current === null) return null;
  const { outage, zeros, errors, delay_ms, quantity_max } = current.settings;
  return (
    <form class="market" aria-labelledby="market" onSubmit={(event) => event.preventDefault()}>
      <h2 id="market">{words.market}</h2>
      <p class="note">
        {words.marketNote} {words.sales(figure(current.sales))}.
      </p>
      <label class="switch">
        <input type="checkbox" role="switch" checked={outage} onChange={(event) => change({ outage: event.currentTarget.checked })} />
        <span>{words.outage}</span>
      </label>
      <Share name={words.zeros} value={zeros} set={(value) => change({ zeros: value })} />
      <Share name={words.errors} value={errors} set={(value) => change({ errors: value })} />
      <div class="fields">
        <label>
          <span class="label">{words.delay}</span>
          <span>
            <input
              type="number"
              min={0}
              max={20_000}
              value={delay_ms}
              onChange={(event) => change({ delay_ms: whole(event.currentTarget) })}
            />{" "}
            {words.milliseconds}
          </span>
        </label>
        <label>
          <span class="label">{words.quantities}</span>
          <input
            type="number"
            min={current.settings.quantity_min}
            max={1_000_000}
            value={quantity_max}
            onChange={(event) => change({ quantity_max: whole(event.currentTarget) })}
          />
        </label>
        <button type="button" onClick={reset}>
          {words.reset}
        </button>
      </div>
    </form>
  );
}

function Share({ name, value, set }: { name: string; value: number; set: (value: number) => void }): JSX.Element {
  const percent = Math.round(value * 100);
  return (
    <label class="share">
      <span class="label">{name}</span>
      <input
        type="range"
        min={0}
        max={100}
        step={10}
        value={percent}
        aria-valuetext={`${percent} %`}
        onChange={(event) => set(event.currentTarget.valueAsNumber / 100)}
      />
      <span class="figure">{percent} %</span>
    </label>
  );
}

/** Returns the field's number within its bounds. */
function whole(field: HTMLInputElement): number {
  const value = Math.round(field.valueAsNumber);
  return Number.isNaN(value) ? Number(field.min) : Math.min(Math.max(value, Number(field.min)), Number(field.max));
}

async function load(): Promise<void> {
  try {
    market.value = await ask<Market>("GET", "/v1/market");
  } catch (error) {
    // Without an answer, what is shown stays.
    if ([403, 404].includes(asProblem(error).status)) market.value = null;
  }
}

function change(settings: Partial<MarketSettings>): void {
  void act(async () => {
    market.value = await ask<Market>("PUT", "/v1/market", settings);
  });
}

function reset(): void {
  void act(async () => {
    market.value = await ask<Market>("DELETE", "/v1/market");
  });
}
