// A connection to the feed: a WebSocket, or a streamed answer where something in between lets no WebSocket through. Both carry the
// text of server-sent events. Not EventSource: it hides comments, so that silence and a connection that hangs look alike, and browsers
// open six of them to a host at the most.

/** What is told of a connection. */
export interface Told {
  /** It is open, though there may be nothing new. */
  opened(): void;
  /** An event came. */
  event(id: string, name: string, data: string): void;
  /** Something came that is no event: the gateway is there, and nothing is new. */
  comment(): void;
  /** It ended, or never opened. Nothing is told afterwards. `isAsked`: the gateway asks to connect again, as it does every hour. */
  ended(isAsked: boolean): void;
}

/** With this code the gateway ends a WebSocket whose viewer may come back (RFC 6455, 7.4.1). */
const GOING_AWAY = 1001;

/** Ends a connection, of which nothing is told afterwards. */
export type Close = () => void;

/** Follows the feed at a WebSocket, from after the event `lastId`; from a whole view if that is empty. */
export function followSocket(lastId: string, told: Told): Close {
  const url = new URL(address(lastId), location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  const parser = new Parser(told);
  let isOver = false;
  socket.onopen = () => told.opened();
  socket.onmessage = (message) => isOver || parser.read(String(message.data));
  socket.onclose = (event) => {
    if (!isOver) told.ended(event?.code === GOING_AWAY);
    isOver = true;
  };
  return () => {
    isOver = true;
    socket.close();
  };
}

/** Follows the feed as an answer that does not end. */
export function followStream(lastId: string, told: Told): Close {
  const controller = new AbortController();
  void read(address(lastId), controller.signal, told).then((isAsked) => {
    if (!controller.signal.aborted) told.ended(isAsked);
  });
  return () => controller.abort();
}

/** Returns whether the answer had its end, and was not cut. */
async function read(path: string, signal: AbortSignal, told: Told): Promise<boolean> {
  try {
    const response = await fetch(path, { signal, headers: { accept: "text/event-stream" } });
    if (!response.ok || response.body === null) return false;
    told.opened();
    const parser = new Parser(told);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done || signal.aborted) return true;
      parser.read(value);
    }
  } catch {
    return false;
  }
}

function address(lastId: string): string {
  return lastId === "" ? "/v1/live" : `/v1/live?last_event_id=${encodeURIComponent(lastId)}`;
}

/** Takes events out of text that comes in pieces. The gateway writes each field once, in one line. */
class Parser {
  #unread = "";

  constructor(readonly told: Told) {}

  read(text: string): void {
    const events = (this.#unread + text).split("\n\n");
    this.#unread = events.pop() ?? "";
    for (const event of events) {
      const fields = new Map(event.split("\n").map((line) => {
        const end = line.indexOf(": ");
        return [line.slice(0, end), line.slice(end + 2)];
      }));
      const name = fields.get("event");
      if (name === undefined) this.told.comment();
      else this.told.event(fields.get("id") ?? "", name, fields.get("data") ?? "null");
    }
  }
}
