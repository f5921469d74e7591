// What the gateway sends and takes: services/libs/contracts/src/api holds the same types in Rust, and says what they mean.

/** A moment, as RFC 3339. */
export type Timestamp = string;
export type Quantities = Record<string, number>;
export type Role = "viewer" | "manager" | "admin";

export interface Session {
  id: string;
  name: string;
  role: Role;
  expires_at: Timestamp | null;
}

export type TicketState =
  | "placed"
  | "requested"
  | "waiting"
  | "reserved"
  | "cooking"
  | "ready"
  | "delivered"
  | "cancelled"
  | "rejected";

/** One order in the feed. */
export interface Ticket {
  id: string;
  number: number;
  dish?: string;
  state: TicketState;
  placed_at: Timestamp;
  changed_at: Timestamp;
  stove?: number;
  missing?: Quantities;
}

export interface Latency {
  count: number;
  mean_ms: number;
  p50_ms: number;
  p99_ms: number;
}

export interface Summary {
  placed: number;
  delivered: number;
  cancelled: number;
  rejected: number;
  in_flight: number;
  waiting_for_ingredients: number;
  cooking: number;
  dishes: Record<string, number>;
  bought: Quantities;
  delivery: Latency;
}

export interface Shelf {
  ingredient: string;
  on_hand: number;
  opening: number;
  adjustments: number;
  bought: number;
  reserved: number;
  released: number;
  missing: number;
  /** When the market is asked again for what is missing. Absent while nothing is, or while a purchase waits for its answer. */
  next_attempt_at?: Timestamp;
}

export interface Purchase {
  id: string;
  ingredient: string;
  status: "open" | "done" | "unknown";
  quantity: number;
  asked_at: Timestamp;
  answered_at: Timestamp | null;
}

export interface Waiting {
  what: string;
  count: number;
  since?: Timestamp;
  awaits: string;
}

export interface ServiceStatus {
  version: string;
  ready: boolean;
  reason?: string;
  engine: string;
  announced: number;
  unpublished: number;
  unhandled: number;
  dead_letters: number;
  queued: number;
  open: number;
  waiting?: Waiting[];
  /** How often a process of the service started since its database was made. */
  starts?: number;
  /** When the last one did. */
  started_at?: Timestamp;
  /** Of the kitchen: how many stoves it has. */
  places?: number;
}

/** How long deliveries of one dish take. */
export interface DishTimes {
  delivered: number;
  p50_ms: number;
  p95_ms: number;
}

export interface Pace {
  changes_per_second_max: number;
  viewers: number;
}

/** The event `snapshot` of the feed. */
export interface View {
  at: Timestamp;
  summary: Summary;
  orders: Ticket[];
  stock: Shelf[];
  purchases: Purchase[];
  services: Record<string, ServiceStatus>;
  away: Record<string, Timestamp>;
  pace: Pace;
  dishes: Record<string, DishTimes>;
}

/** The event `change` of the feed. What is absent stays as it is. */
export interface Change {
  at: Timestamp;
  summary?: Summary;
  orders?: Ticket[];
  gone?: string[];
  stock?: Shelf[];
  purchases?: Purchase[];
  services?: Record<string, ServiceStatus>;
  away?: Record<string, Timestamp>;
  pace?: Pace;
  dishes?: Record<string, DishTimes>;
}

export type OrderStatus = "placed" | "cancelling" | "cooking" | "delivered" | "cancelled" | "rejected";

export interface Order {
  id: string;
  number: number;
  status: OrderStatus;
  dish: string | null;
  placed_at: Timestamp;
  ended_at: Timestamp | null;
  reason?: string;
}

export interface OrderPage {
  orders: Order[];
  next_before: number | null;
}

export interface Recipe {
  name: string;
  ingredients: Quantities;
  cooking_time_ms: number;
}

export interface Menu {
  recipes: Recipe[];
}

export interface StoryEvent {
  time: Timestamp;
  service: string;
  event: string;
  id: string;
  data: unknown;
}

export interface Story {
  order: string;
  events: StoryEvent[];
  missing: string[];
  complete: boolean;
}

export interface MarketSettings {
  quantity_min: number;
  quantity_max: number;
  zeros: number;
  delay_ms: number;
  errors: number;
  outage: boolean;
}

export interface Market {
  settings: MarketSettings;
  sold: Quantities;
  sales: number;
}

export interface DeadLetter {
  service: string;
  id: string;
  kind: string;
  subject: string;
  error: string;
  attempts: number;
  failed_at: Timestamp;
}

export interface DeadLetters {
  dead_letters: DeadLetter[];
  missing: string[];
}

export interface Invariant {
  name: string;
  rule: string;
  passed: boolean;
  expected: number;
  found: number;
  difference: number;
  samples: string[];
  note?: string;
}

export interface AuditReport {
  passed: boolean;
  live: boolean;
  invariants: Invariant[];
}
