// A line chart as SVG: it follows the theme by CSS, and says the same as a table.

import type { JSX } from "preact";

import { KEPT_MS } from "../state/series";
import { time } from "../text/format";
import { words } from "../text/words";
import { figureColumns, Table } from "./basics";

export interface Point {
  at: number;
  /** null: not known, and no line is drawn. */
  value: number | null;
}

const WIDTH = 600;
const HEIGHT = 140;
const TOP = 10;
/** What a row of the table sums up. */
const ROW_MS = 30_000;

interface Props {
  id: string;
  title: string;
  points: Point[];
  format: (value: number) => string;
}

export function Chart({ id, title, points, format }: Props): JSX.Element {
  const known = points.map((point) => point.value).filter((value) => value !== null);
  const top = ceiling(Math.max(...known, 0));
  const last = known.at(-1);
  return (
    <figure class="chart">
      <figcaption>
        <span id={`${id}-title`}>{title}</span>
        <strong class="figure">{last === undefined ? "–" : format(last)}</strong>
      </figcaption>
      <div class="chart-plot">
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-labelledby={`${id}-title`}>
          {[0, 0.5, 1].map((share) => (
            <line key={share} class="chart-grid" x1={0} x2={WIDTH} y1={y(share)} y2={y(share)} />
          ))}
          <path class="chart-line" d={path(points, top)} />
        </svg>
        <span class="chart-top figure" aria-hidden="true">
          {format(top)}
        </span>
        <span class="chart-zero figure" aria-hidden="true">
          {format(0)}
        </span>
      </div>
      <p class="note">{known.length === 0 ? words.chartEmpty : words.chartNote}</p>
      <details>
        <summary>{words.chartTable}</summary>
        <Table label={title} columns={[words.chartRange, ...figureColumns(words.mean, words.most)]}>
          {rows(points).map((row) => (
            <tr key={row.from}>
              <th scope="row" class="figure">
                {time(row.from)} – {time(row.to)}
              </th>
              <td class="number">{row.mean === null ? "–" : format(row.mean)}</td>
              <td class="number">{row.most === null ? "–" : format(row.most)}</td>
            </tr>
          ))}
        </Table>
      </details>
    </figure>
  );
}

function y(share: number): number {
  return HEIGHT - 1 - share * (HEIGHT - TOP);
}

/** Returns the line, the newest point at the right edge. Where nothing is known it has a gap. */
function path(points: Point[], top: number): string {
  const end = points.at(-1)?.at ?? 0;
  let isGap = true;
  return points
    .map(({ at, value }) => {
      if (value === null) {
        isGap = true;
        return "";
      }
      const place = `${(WIDTH * (1 - (end - at) / KEPT_MS)).toFixed(1)} ${y(value / top).toFixed(1)}`;
      // A point alone is drawn as a dot.
      const drawn = isGap ? `M${place}h0.01` : `L${place}`;
      isGap = false;
      return drawn;
    })
    .join("");
}

/** Returns a round number that is not below: 1, 2 or 5 times a power of ten. */
function ceiling(value: number): number {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5].find((factor) => factor * power >= value) ?? 10) * power;
}

/** Returns what the table says, the newest first. */
function rows(points: Point[]): { from: number; to: number; mean: number | null; most: number | null }[] {
  const end = points.at(-1)?.at ?? 0;
  const parts = Map.groupBy(points, ({ at }) => Math.floor((end - at) / ROW_MS));
  return [...parts.values()].reverse().map((part) => {
    const known = part.map((point) => point.value).filter((value) => value !== null);
    const sum = known.reduce((one, other) => one + other, 0);
    return {
      from: part[0]?.at ?? 0,
      to: part.at(-1)?.at ?? 0,
      mean: known.length === 0 ? null : sum / known.length,
      most: known.length === 0 ? null : Math.max(...known),
    };
  });
}
