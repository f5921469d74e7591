// The services: whether each does its work, what waits in it, and what it could not act on.

import type { JSX } from "preact";

import type { ServiceStatus } from "../api/types";
import { Age, figureColumns, Table } from "../parts/basics";
import { Chart } from "../parts/chart";
import { DEAD_LETTERS, DeadLetterList } from "../parts/dead-letters";
import { series } from "../state/series";
import { isAdmin } from "../state/session";
import { answerOf, snapshot } from "../state/snapshot";
import { startedAgain, view } from "../state/view";
import { awaited, figure, rate, said, took } from "../text/format";
import { words } from "../text/words";

export function Services(): JSX.Element {
  return (
    <>
      <h1>{words.servicesTitle}</h1>
      {snapshot === null && <Charts />}
      <States />
      <Waits />
      {(isAdmin.value || answerOf(DEAD_LETTERS) !== undefined) && <DeadLetterList />}
      {snapshot === null && <Pace />}
    </>
  );
}

function Charts(): JSX.Element {
  const seconds = series.value;
  const times = { throughput: seconds.map(({ at, delivered }) => ({ at, value: delivered })), latency: seconds.map(({ at, medianMs }) => ({ at, value: medianMs })) };
  return (
    <div class="charts">
      <Chart id="throughput" title={words.throughput} points={times.throughput} format={perSecond} />
      <Chart id="latency" title={words.latency} points={times.latency} format={took} />
    </div>
  );
}

function perSecond(value: number): string {
  return Number.isInteger(value) ? figure(value) : rate(value);
}

function States(): JSX.Element {
  const services = Object.entries(view.value?.services ?? {});
  const figures = [words.starts, words.upFor, words.queued, words.open, words.unpublished, words.unhandled, words.deadLetters];
  return (
    <Table label={words.servicesTitle} columns={[words.service, words.state, ...figureColumns(...figures)]}>
      {services.map(([name, service]) => (
        <StateRow key={name} name={name} service={service} />
      ))}
    </Table>
  );
}

function StateRow({ name, service }: { name: string; service: ServiceStatus }): JSX.Element {
  const awaySince = view.value?.away[name];
  const isWell = awaySince === undefined && service.ready;
  const { reason, starts, started_at } = service;
  const isNew = startedAgain(service);
  return (
    <tr class={isNew ? "is-new" : undefined}>
      <th scope="row" class="name">
        {name}
      </th>
      <td>
        <span class={isWell ? "state is-well" : "state is-bad"}>
          {awaySince !== undefined ? <AwaySince since={awaySince} /> : service.ready ? words.ready : words.notReady}
        </span>
        {isNew && <span class="note reason">{words.startedAgain}</span>}
        {reason !== undefined && <span class="note reason" lang="en">{reason}</span>}
      </td>
      <td class="number">{starts !== undefined && (isNew ? <strong>{figure(starts)}</strong> : figure(starts))}</td>
      <td class="number">{awaySince === undefined && started_at !== undefined && <Age since={started_at} />}</td>
      {[service.queued, service.open, service.unpublished, service.unhandled].map((count, index) => (
        <td key={index} class="number">
          {count === 0 ? "" : figure(count)}
        </td>
      ))}
      <td class="number">{service.dead_letters === 0 ? "" : <strong>{figure(service.dead_letters)}</strong>}</td>
    </tr>
  );
}

function AwaySince({ since }: { since: string }): JSX.Element {
  const [before = "", after = ""] = words.awaySince("\0").split("\0");
  return (
    <>
      {before}
      <Age since={since} />
      {after}
    </>
  );
}

function Waits(): JSX.Element {
  const waits = Object.entries(view.value?.services ?? {})
    .flatMap(([name, service]) => (service.waiting ?? []).map((waiting) => ({ name, ...waiting })))
    .sort((a, b) => ((a.since ?? "~") < (b.since ?? "~") ? -1 : 1));
  return (
    <section aria-labelledby="waits">
      <h2 id="waits">{words.waitsTitle}</h2>
      {waits.length === 0 ? (
        <p class="note">{words.waitsEmpty}</p>
      ) : (
        <Table label={words.waitsTitle} columns={[words.what, ...figureColumns(words.count, words.since), words.awaits, words.service]}>
          {waits.map(({ name, what, count, since, awaits }) => (
            <tr key={`${name} ${what} ${awaits}`}>
              <th scope="row">{said(what) ?? what}</th>
              <td class="number">{figure(count)}</td>
              <td class="number">{since === undefined ? "" : <Age since={since} />}</td>
              <td class="awaits">{awaited(awaits)}</td>
              <td>{name}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function Pace(): JSX.Element | null {
  const pace = view.value?.pace;
  return pace === undefined ? null : <p class="note">{words.pace(figure(pace.viewers), pace.changes_per_second_max)}</p>;
}
